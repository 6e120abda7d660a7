"""The wire believes nothing: whatever a worker sends is an answer that fits, or a ProtocolError in
bounded memory."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_worker import LocalWorker

from graders.checking import replies
from graders.checking.failure import Deviation
from graders.exercises.ex1_paged_allocation.judge import Snapshot
from graders.sandbox.protocol import (
    Caps,
    Conversation,
    Framer,
    ProtocolError,
    decode,
    encode,
    field,
    integers,
    only,
)
from graders.simulation import backend, driver_replies

STEADY = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
CAPS = Caps(size=4096, depth=6, values=200, text=100)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def answer_to_first(payload: bytes) -> dict[str, Any] | None:
    talk = Conversation(CAPS)
    talk.ask({"do": "something"})
    return talk.hear(framed(payload))


def test_an_answer_comes_back_without_its_id() -> None:
    assert answer_to_first(b'{"id":1,"x":[1,2]}') == {"x": [1, 2]}


def test_a_question_carries_the_next_id() -> None:
    talk = Conversation(CAPS)
    for id in (1, 2):
        assert json.loads(talk.ask({"do": "it"})[4:]) == {"id": id, "do": "it"}
        talk.hear(encode({"id": id}))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"[1]", "not an object"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"id":1,"x":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"id":1,"id":1}', "a key occurs twice"),
        (b'{"id":1,"x":NaN}', "NaN"),
        (b'{"id":1,"x":-Infinity}', "Infinity"),
        (b'{"id":1,"x":1e999}', "not finite"),
        (b'{"id":1,"x":9223372036854775808}', "beyond 64 bits"),
        (b'{"id":1,"x":' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"id":1,"x":' + b"[" * 6 + b"]" * 6 + b"}", "nested deeper"),
        (b'{"id":1,"x":[1,{"y":[9223372036854775808]}]}', "beyond 64 bits"),
        (b'{"id":1,"x":[1,{"y":[1e999]}]}', "not finite"),
        (b'{"id":1,"x":"' + b"a" * 101 + b'"}', "more than 100 characters"),
        (b'{"id":1,"x":[' + b"1," * 200 + b"1]}", "more than 200 values"),
        (b'{"id":2}', "wrong request id"),
        (b'{"id":true}', "wrong request id"),
        (b'{"id":1.0}', "wrong request id"),
        (b"{}", "wrong request id"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(payload: bytes, reason: str) -> None:
    caps = Caps(size=1 << 16, depth=6, values=200, text=100)
    talk = Conversation(caps)
    talk.ask({"do": "something"})
    with pytest.raises(ProtocolError, match=reason):
        talk.hear(framed(payload))


def test_a_million_brackets_are_refused() -> None:
    with pytest.raises(ProtocolError, match=r"nested deeper|more than"):
        decode(b'{"x":' + b"[" * 10**6 + b"]" * 10**6 + b"}", Caps())
    with pytest.raises(ProtocolError, match="nested deeper"):
        decode(b'{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", Caps())


def test_a_frame_that_claims_two_gigabytes_is_refused_by_its_header() -> None:
    with pytest.raises(ProtocolError, match="bytes"):
        Framer(1 << 20).feed((2 << 30).to_bytes(4, "big"))


def test_an_answer_before_the_question_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no question"):
        Conversation(CAPS).hear(framed(b'{"id":1}'))


def test_bytes_before_the_question_are_refused() -> None:
    with pytest.raises(ProtocolError, match="before a question"):
        Conversation(CAPS).hear(b"\0")


def test_two_answers_at_once_are_refused() -> None:
    talk = Conversation(CAPS)
    talk.ask({"do": "it"})
    with pytest.raises(ProtocolError, match="more than one"):
        talk.hear(framed(b'{"id":1}') * 2)


def test_an_answer_and_a_little_more_is_refused() -> None:
    talk = Conversation(CAPS)
    talk.ask({"do": "it"})
    with pytest.raises(ProtocolError, match="more than one"):
        talk.hear(framed(b'{"id":1}') + b"\0")


def test_two_questions_at_once_are_our_own_mistake() -> None:
    talk = Conversation(CAPS)
    talk.ask({"do": "it"})
    with pytest.raises(RuntimeError):
        talk.ask({"do": "it"})


@given(PLAIN, st.lists(st.integers(1, 50), max_size=6))
@settings(STEADY, max_examples=60)
def test_plain_data_arrives_as_it_was_however_it_is_cut(value: Any, cuts: list[int]) -> None:
    talk = Conversation(Caps())
    talk.ask({"do": "it"})
    frame = encode({"id": 1, "value": value})
    pieces = []
    for cut in cuts:
        pieces.append(frame[:cut])
        frame = frame[cut:]
    answers = [talk.hear(piece) for piece in [*pieces, frame] if piece]
    assert [answer for answer in answers if answer is not None] == [{"value": value}]


@given(st.binary(max_size=200))
@settings(STEADY, max_examples=150)
def test_any_bytes_are_an_answer_or_refused(data: bytes) -> None:
    for noise in (data, framed(data)):
        talk = Conversation(CAPS)
        talk.ask({"do": "it"})
        try:
            answer = talk.hear(noise)
        except ProtocolError as refused:
            assert str(refused)
        else:
            assert answer is None or type(answer) is dict


@given(st.text(alphabet='{}[]",:0123456789eE+-.nulltrefasNI \\', max_size=80))
@settings(STEADY, max_examples=150)
def test_almost_json_is_an_object_or_refused(text: str) -> None:
    try:
        assert type(decode(text.encode(), CAPS)) is dict
    except ProtocolError as refused:
        assert str(refused)


def test_fields_are_of_exactly_their_type() -> None:
    assert field({"a": 1}, "a", int) == 1
    for wrong in ({"a": True}, {"a": 1.0}, {"a": "1"}, {}):
        with pytest.raises(ProtocolError, match="'a'"):
            field(wrong, "a", int)


def test_integers_are_integers() -> None:
    assert integers([1, -2], 2) == [1, -2]
    for wrong in ([1, True], [1.0, 2], "12", None, [1]):
        with pytest.raises(ProtocolError):
            integers(wrong, 2)


def test_unknown_fields_are_refused() -> None:
    only({"a": 1}, ("a", "b"))
    with pytest.raises(ProtocolError, match="'c'"):
        only({"a": 1, "c": 2}, ("a", "b"))


# ---------------------------------------------------------------- what is made of an answer

OUTCOMES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("r", "x", "s", "copy", "type"), inner))
        | st.fixed_dictionaries(dict.fromkeys(("kinds", "type", "text", "frames"), inner))
    ),
    max_leaves=10,
)


@given(OUTCOMES)
@settings(STEADY, max_examples=200)
def test_any_outcome_is_understood_or_refused_and_can_be_shown(data: Any) -> None:
    """Whatever JSON stands where an outcome belongs: a reply, or a refusal; never another
    exception."""
    readings = (
        driver_replies.plan_of,
        driver_replies.commit_of,
        driver_replies.abort_of,
        driver_replies.books_of,
    )
    for parse in (
        replies.reply_of,
        replies.value_or_raised,
        replies.Raised.of,
        backend.reply_of,
        *readings,
    ):
        try:
            parse(data)
        except (ProtocolError, Deviation) as refused:
            assert str(refused)
    assert isinstance(replies.shown(data), str)


@given(OUTCOMES, st.lists(st.integers(0, 3), max_size=2), st.lists(st.integers(1, 3), max_size=2))
@settings(STEADY, max_examples=200)
def test_any_snapshot_is_looked_at_or_refused(
    data: Any, seqs: list[int], blocks: list[int]
) -> None:
    try:
        Snapshot(data, seqs, blocks)
    except ProtocolError as refused:
        assert str(refused)


@given(st.binary(min_size=1, max_size=64), st.integers(1, 400))
@settings(STEADY, max_examples=60)
def test_whatever_is_sent_is_refused_in_bounded_memory(piece: bytes, times: int) -> None:
    """A frame as long as the cap allows, of anything: what is held at most is a small multiple of
    it."""
    payload = (
        b'{"id":1,"x":'
        + (piece * (CAPS.size * times // 400 // len(piece) + 1))[: CAPS.size - 13]
        + b"}"
    )
    tracemalloc.start()
    with contextlib.suppress(ProtocolError):
        answer_to_first(payload)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * CAPS.size + (1 << 16)


def test_as_deep_as_is_allowed_is_heard() -> None:
    talk = Conversation(Caps(depth=6))
    talk.ask({"do": "something"})
    payload = b'{"id":1,"x":' + b"[" * 5 + b"]" * 5 + b"}"
    assert talk.hear(len(payload).to_bytes(4, "big") + payload) == {"x": [[[[[]]]]]}


def test_an_int_beyond_64_bits_is_told_wherever_it_stands() -> None:
    plain = LocalWorker()._parts.plain
    told = {"type": "int beyond 64 bits"}
    for value, sent in (
        (1 << 63, told),
        ([1, 1 << 63], [1, told]),
        ([None, 1 << 63, -1], [None, told, -1]),
    ):
        assert plain(value) == sent
