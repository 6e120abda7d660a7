"""The wire between grader and worker: length-prefixed JSON, believed in nothing.

A frame is four bytes, big-endian, the length of what follows, then that many bytes of UTF-8 JSON,
always one object. The grader asks (`{"id": n, "do": …}`), the worker answers (`{"id": n, …}`), one
answer a question. Whatever a worker sends that does not fit is a `ProtocolError`: too long, too
deep, too many values, not UTF-8, not JSON, a key twice, NaN, an id that was not asked. Nothing is
unpickled, evaluated or imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

HEADER = 4
LARGEST = 2**63 - 1
T = TypeVar("T")


class ProtocolError(Exception):
    """The other side broke the protocol; the text says how, in words for a report."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What one answer may cost: bytes on the wire, nesting, number of values, characters in one
    text."""

    size: int = 4 << 20
    depth: int = 12
    values: int = 400_000
    text: int = 1 << 16


def encode(message: dict[str, Any]) -> bytes:
    """One frame. The message is ours: plain JSON values only, no NaN."""
    payload = _ENCODER.encode(message).encode()
    return len(payload).to_bytes(HEADER, "big") + payload


def decode(payload: bytes, caps: Caps) -> dict[str, Any]:
    """The object in `payload`, checked against `caps`; ProtocolError if it is anything else."""
    if payload.count(b",") + payload.count(b"[") + payload.count(b"{") > caps.values:
        raise ProtocolError(f"an answer of more than {caps.values} values")
    try:
        message = _DECODER.decode(payload.decode("utf-8"))
    except UnicodeDecodeError:
        raise ProtocolError("an answer that is not UTF-8") from None
    except RecursionError:
        raise ProtocolError(f"an answer nested deeper than {caps.depth}") from None
    except ValueError as wrong:
        raise ProtocolError(f"an answer that is not JSON: {str(wrong)[:80]}") from None
    if type(message) is not dict:
        raise ProtocolError("an answer that is not an object")
    _check(message, caps)
    return message


def _check(message: dict[str, Any], caps: Caps) -> None:
    """Level by level, so that most of the work is loops in C: an answer has thousands of values."""
    level: list[Any] = [message]
    for _ in range(caps.depth):
        values: list[Any] = []
        for holder in level:
            values += holder if type(holder) is list else holder.values()
        kinds = set(map(type, values))
        if int in kinds:
            _check_integers(_of(int, values))
        if float in kinds and not all(map(math.isfinite, _of(float, values))):
            raise ProtocolError("a number that is not finite")
        if str in kinds:
            _check_texts(_of(str, values), caps)
        if not kinds & {list, dict}:
            return
        level = [value for value in values if type(value) is list or type(value) is dict]
    raise ProtocolError(f"an answer nested deeper than {caps.depth}")


def _of(kind: type[T], values: list[Any]) -> list[T]:
    return [value for value in values if type(value) is kind]


def _check_integers(whole: list[int]) -> None:
    if min(whole) < -LARGEST or max(whole) > LARGEST:
        raise ProtocolError("an integer beyond 64 bits")


def _check_texts(texts: list[str], caps: Caps) -> None:
    if max(map(len, texts)) > caps.text:
        raise ProtocolError(f"a text of more than {caps.text} characters")
    for text in texts:
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ProtocolError("a text with half a character in it")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)
_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_duplicates)


class Framer:
    """Cuts a stream of bytes into payloads; refuses a frame longer than the cap as soon as its
    header is read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The payloads completed by `data`, in order."""
        self._buffer += data
        payloads = []
        while len(self._buffer) >= HEADER:
            length = int.from_bytes(self._buffer[:HEADER], "big")
            if length > self._size:
                raise ProtocolError(f"an answer of {length} bytes; {self._size} are allowed")
            if len(self._buffer) < HEADER + length:
                break
            payloads.append(bytes(self._buffer[HEADER : HEADER + length]))
            del self._buffer[: HEADER + length]
        return payloads

    @property
    def pending(self) -> bool:
        """A frame has begun and is not complete."""
        return bool(self._buffer)


class Conversation:
    """The grader's side of the protocol as a state machine: idle, or waiting for the answer to one
    question."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._framer = Framer(caps.size)
        self._asked = 0
        self._waiting = False

    def ask(self, question: dict[str, Any]) -> bytes:
        """The frame of the next question. ProtocolError if the other side has spoken unasked."""
        if self._waiting:
            raise RuntimeError("a question is already under way")
        if self._framer.pending:
            raise ProtocolError("bytes on the wire before a question was asked")
        self._asked += 1
        self._waiting = True
        return encode({"id": self._asked, **question})

    def hear(self, data: bytes | memoryview) -> dict[str, Any] | None:
        """Take what arrived; the answer when it is complete, without its id."""
        payloads = self._framer.feed(data)
        if not payloads:
            if not self._waiting and self._framer.pending:
                raise ProtocolError("bytes on the wire before a question was asked")
            return None
        if not self._waiting:
            raise ProtocolError("an answer to no question")
        if len(payloads) > 1 or self._framer.pending:
            raise ProtocolError("more than one answer to a question")
        answer = decode(payloads[0], self._caps)
        if type(answer.get("id")) is not int or answer.pop("id") != self._asked:
            raise ProtocolError("an answer with the wrong request id")
        self._waiting = False
        return answer


def field(answer: dict[str, Any], name: str, kind: type) -> Any:
    """`answer[name]`, of exactly that type (a bool is no int); ProtocolError otherwise."""
    value = answer.get(name)
    if type(value) is not kind:
        raise ProtocolError(f"an answer whose {name!r} is not {kind.__name__}")
    return value


def integers(value: Any, length: int | None = None) -> list[int]:
    """`value` as a list of exact ints, of that length if given; ProtocolError otherwise."""
    if type(value) is not list or not all(type(item) is int for item in value):
        raise ProtocolError("an answer with something else where integers belong")
    if length is not None and len(value) != length:
        raise ProtocolError(f"an answer with {len(value)} integers where {length} belong")
    return value


def only(answer: dict[str, Any], names: Sequence[str]) -> None:
    """ProtocolError if the answer has a field beside `names`."""
    unknown = [name for name in answer if name not in names]
    if unknown:
        raise ProtocolError(f"an answer with an unknown field {unknown[0][:20]!r}")
