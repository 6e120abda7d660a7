"""A real server on a real port: clients that hang up or dawdle, OpenAI's client, SIGTERM."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from types import ModuleType

import pytest

pytest.importorskip("uvicorn")

from servers import listening, waiter

from course.commands import serve
from course.errors import ExitCode, Problem
from course.playground import part_mix
from course.server import opening
from course.server.limits import Limits
from reference_engine.kv_dtype import KVDtype


def test_openais_client_chats_streams_and_is_refused_in_its_own_words() -> None:
    openai = pytest.importorskip("openai")
    with listening() as (port, thread):
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0
        ) as client:
            _chat(openai, client)
        assert thread.unfinished == 0


def _chat(openai: ModuleType, client: object) -> None:
    assert isinstance(client, openai.OpenAI)
    asked = {
        "model": "waiter",
        "messages": [{"role": "user", "content": "Who are you?"}],
        "temperature": 0,
    }
    whole = client.chat.completions.create(**asked).choices[0].message.content
    assert "Tom" in whole
    stream = client.chat.completions.create(
        **asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    )
    assert chunks[-1].usage.completion_tokens > 3
    told = client.completions.create(
        model="waiter", prompt="Waiter:", n=2, logprobs=2, max_tokens=3
    )
    assert [len(choice.logprobs.tokens) for choice in told.choices] == [3, 3]
    assert [card.id for card in client.models.list()] == ["waiter"]
    with pytest.raises(openai.NotFoundError, match="'gpt-5' does not exist"):
        client.completions.create(model="gpt-5", prompt="Waiter:")
    with pytest.raises(openai.BadRequestError, match="unknown field"):
        client.completions.create(model="waiter", prompt="Waiter:", extra_body={"top_z": 1})


BODY = b'{"model": "waiter", "prompt": "Waiter:", "max_tokens": 2}'
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n" % len(BODY)
ways = pytest.mark.parametrize("fast", [True, False], ids=["httptools", "h11"])


@pytest.fixture(autouse=True)
def both_ways(request: pytest.FixtureRequest) -> None:
    """What makes it fast is optional."""
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("fast"):
        pytest.importorskip("httptools")
        pytest.importorskip("uvloop")


@ways
def test_who_hangs_up_in_a_stream_is_served_no_further(fast: bool) -> None:
    with listening(fast=fast) as (port, thread):
        line = http.client.HTTPConnection("127.0.0.1", port)
        body = b'{"model": "waiter", "prompt": "Waiter:", "max_tokens": 900, "ignore_eos": true, "stream": true}'
        line.request("POST", "/v1/completions", body)
        answer = line.getresponse()
        assert answer.read(20).startswith(b"data: ")
        answer.close()
        line.close()
        while not thread.engine.metrics.aborted:
            assert _ask(port) == 200


def _ask(port: int) -> int:
    line = http.client.HTTPConnection("127.0.0.1", port)
    line.request(
        "POST", "/v1/completions", b'{"model": "waiter", "prompt": "Waiter:", "max_tokens": 2}'
    )
    status = line.getresponse().status
    line.close()
    return status


@ways
def test_connections_that_say_nothing_are_closed_and_keep_nobody_out(fast: bool) -> None:
    with listening(head_seconds=0.2, fast=fast) as (port, _):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        idle[0].sendall(b"POST /v1/comp")
        assert _ask(port) == 200
        assert {line.recv(1) for line in idle} == {b""}
        for line in idle:
            line.close()


@ways
def test_a_second_request_that_does_not_come_is_not_waited_for_either(fast: bool) -> None:
    with (
        listening(head_seconds=0.2, fast=fast) as (port, _),
        socket.create_connection(("127.0.0.1", port)) as line,
    ):
        line.sendall(HEAD + b"\r\n" + BODY)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert answer.status == 200 and answer.read()
        line.sendall(HEAD)
        assert line.recv(1) == b""


@ways
def test_a_head_that_never_ends_is_not_heard_out(fast: bool) -> None:
    with listening(fast=fast) as (port, _), socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(HEAD)
        with contextlib.suppress(ConnectionError):
            for _ in range(4096):
                line.sendall(b"x-more: %s\r\n" % (b"x" * 4096))
            assert not line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert _ask(port) == 200


@ways
def test_a_large_body_is_no_part_of_a_head_wherever_it_is_cut(fast: bool) -> None:
    body = BODY[:-1] + b", " + b" " * 3_000_000 + b'"seed": 1}'
    head = HEAD.replace(b"%d" % len(BODY), b"%d" % len(body)) + b"\r\n"
    with listening(fast=fast) as (port, _), socket.create_connection(("127.0.0.1", port)) as line:
        for cut in (1, 100, len(head), len(head) + 1000, len(head) + len(body) - 200_000):
            line.sendall((head + body)[:cut])
            time.sleep(0.01)  # so that it is read by itself
            line.sendall((head + body)[cut:])
            told = b""
            while not told.endswith(b"}") and (more := line.recv(1 << 16)):
                told += more
            assert told.startswith(b"HTTP/1.1 200 OK"), (cut, told)


@ways
def test_what_is_sent_ahead_is_answered_in_order_and_other_protocols_are_not_spoken(
    fast: bool,
) -> None:
    with listening(fast=fast) as (port, _), socket.create_connection(("127.0.0.1", port)) as line:
        upgrade, close = b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: close\r\n"
        line.sendall(
            HEAD + b"\r\n" + BODY + HEAD.replace(b"completions", b"nothing") + b"\r\n" + BODY
        )
        line.sendall(HEAD + close + b"\r\n" + BODY)
        told = line.makefile("rb").read()
        assert [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
        with socket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(HEAD + upgrade + b"\r\n" + BODY)
            assert other.recv(1 << 16).startswith(b"HTTP/1.1 200")


@ways
def test_a_thousand_connections_at_once_are_served(fast: bool) -> None:
    opening.allow_many_connections()
    with listening(fast=fast) as (port, thread):
        lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(1000)]
        for line in lines[::50]:
            line.sendall(HEAD + b"\r\n" + BODY)
        assert {line.recv(1 << 16)[:15] for line in lines[::50]} == {b"HTTP/1.1 200 OK"}
        for line in lines:
            line.close()
        assert thread.unfinished == 0


@ways
def test_who_sends_too_much_hears_so(fast: bool) -> None:
    """A connection that ended while the client was still sending took the answer with it."""
    with listening(Limits(body=1 << 20), fast=fast) as (port, _):
        line = http.client.HTTPConnection("127.0.0.1", port)
        line.request("POST", "/v1/completions", b"x" * (6 << 20))
        assert line.getresponse().status == 413


@ways
def test_a_server_that_is_told_to_end_answers_first(fast: bool) -> None:
    answers: list[int] = []
    with listening(fast=fast) as (port, thread):
        line = http.client.HTTPConnection("127.0.0.1", port)
        line.request(
            "POST",
            "/v1/completions",
            b'{"model": "waiter", "prompt": "Waiter:", "max_tokens": 300, "ignore_eos": true}',
        )
        while not thread.engine.metrics.steps:
            pass
    answers.append(line.getresponse().status)
    assert answers == [200]


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Problem, match="is in use") as told:
            opening.listen("127.0.0.1", taken.getsockname()[1])
    assert told.value.code is ExitCode.USAGE
    with pytest.raises(Problem, match="nobody can listen at"):
        opening.listen("no-such-host.invalid", 0)


def test_without_uvicorn_a_sentence_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Problem, match=r"pip install 'inference-kitchen\[serve\]'"):
        serve.command.main([], standalone_mode=False)


def test_the_pool_of_a_server_that_keeps_kv_in_bf16_is_half_as_large() -> None:
    choices = part_mix.mix((), None)
    options = [opening.EngineOptions(kv_tokens=320, kv_dtype=each) for each in KVDtype]
    whole, half = (
        opening.engine_thread(waiter(), choices, each).engine.runner.pool.nbytes for each in options
    )
    assert whole == 2 * half
