"""The client: streams completions over HTTP and notes when each piece came. Standard library alone.

It runs on the cores of the servers that it measures, so it does as little as it can while they
answer: requests are written before the clock starts, what comes in is kept with its time, and read
once the clock has stopped. A connection is used again, as every client of such servers does.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

MOST_READ = 1 << 18
END_OF_HEAD, LAST_CHUNK = b"\r\n\r\n", b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt of token ids, so many tokens that are due, seconds after the beginning at which it
    is sent."""

    prompt: tuple[int, ...]
    max_new: int
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one. first: seconds to the first piece; gaps: between pieces; seconds: to the
    end. error: a sentence when it was not answered; then the rest means nothing."""

    tokens: int = 0
    first: float = 0.0
    gaps: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What it took to ask for all. cpu: seconds of the client's own."""

    seconds: float
    cpu: float


@dataclass(slots=True)
class Heard:
    """What has come of one answer, with the time of each piece. error: why no more comes."""

    began: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    error: str = ""


def ask_all(port: int, asked: Sequence[Asked], at_once: int) -> tuple[list[Answered], Taken]:
    """Ask a server on this machine, so many at once; the answers in order, and seconds from first
    to last."""
    requests = [_request(port, each) for each in asked]
    began, spent = time.perf_counter(), time.process_time()
    heard = _Run(port, requests, asked, at_once).run()
    taken = Taken(time.perf_counter() - began, time.process_time() - spent)
    return [_answered(each, due.max_new) for each, due in zip(heard, asked, strict=True)], taken


def _request(port: int, asked: Asked) -> bytes:
    told = {
        "model": "waiter",
        "prompt": list(asked.prompt),
        "max_tokens": asked.max_new,
        "temperature": 0,
    }
    options = {"ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    data = json.dumps(told | options).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


class _End:
    """Where an answer ends: after so many bytes, with an empty chunk, or with its connection."""

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._tail, self._left, self._chunked = b"", 0, False

    def reached(self, data: bytes) -> bool:
        """Whether it ends with these bytes, the next ones."""
        if self._head is not None:
            self._head += data
            head, end, data = self._head.partition(END_OF_HEAD)
            if not end:
                return False
            fields = _fields(head)
            self._head, self._chunked = None, _chunked(fields)
            self._left = int(fields.get(b"content-length", 1 << 62))
            self._tail = b"\r\n"
        if not self._chunked:
            self._left -= len(data)
            return self._left <= 0
        self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
        return self._tail == LAST_CHUNK


class _Connection:
    """Asks for one answer after the other. Raises OSError when it cannot."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._port, self._selector = port, selector
        self._socket: socket.socket | None = None
        self._fresh, self._asked = True, False
        self._request, self.heard, self._end = b"", Heard(0.0), _End()

    def ask(self, request: bytes, heard: Heard) -> None:
        """Send a request; what comes of it is noted."""
        self._request, self.heard, self._end = request, heard, _End()
        self._fresh, self._asked = self._socket is None, True
        try:
            self._send()
        except OSError:
            if self._fresh:
                raise
            self._begin_anew()

    def _send(self) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._socket.sendall(self._request)

    def _begin_anew(self) -> None:
        """The server had given the connection up before it was asked on it."""
        self.close()
        self._fresh = self._asked = True
        self._send()

    def read(self) -> bool:
        """Take what has come; whether the answer is over."""
        assert self._socket is not None
        try:
            data = self._socket.recv(MOST_READ)
        except OSError:
            data = b""
        if not self._asked:
            self.close()  # nothing is due: the server gives it up
            return False
        if data:
            self.heard.pieces.append((time.perf_counter(), data))
            self._asked = not self._end.reached(data)
            return not self._asked
        if not self._fresh and not self.heard.pieces:
            self._begin_anew()
            return False
        self.close()
        return True

    def close(self) -> None:
        """Give the connection up."""
        self._asked = False
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


class _Run:
    """All that is asked, each when it is due and a connection is free."""

    def __init__(
        self, port: int, requests: Sequence[bytes], asked: Sequence[Asked], at_once: int
    ) -> None:
        self._requests = requests
        self._due = deque(sorted(range(len(asked)), key=lambda place: asked[place].after))
        self._after = [each.after for each in asked]
        self._selector = selectors.DefaultSelector()
        self._free = [_Connection(port, self._selector) for _ in range(at_once)]
        self._connections = tuple(self._free)
        self._heard = dict[int, Heard]()
        self._unfinished = len(asked)

    def run(self) -> list[Heard]:
        """What was heard of each, in order."""
        began = time.perf_counter()
        try:
            while self._unfinished:
                wait = self._ask_what_is_due(began)
                for key, _ in self._selector.select(wait) if self._unfinished else ():
                    self._read(key.data)
        finally:
            for connection in self._connections:
                connection.close()
            self._selector.close()
        return [self._heard[place] for place in range(len(self._requests))]

    def _ask_what_is_due(self, began: float) -> float | None:
        """Seconds until the next is due; None: none is, or nobody is free to ask."""
        while self._due and self._free:
            place, now = self._due[0], time.perf_counter()
            if began + self._after[place] > now:
                return began + self._after[place] - now
            self._due.popleft()
            connection, heard = self._free.pop(), Heard(now)
            self._heard[place] = heard
            try:
                connection.ask(self._requests[place], heard)
            except OSError as error:
                self._give_up(connection, error)
        return None

    def _read(self, connection: _Connection) -> None:
        try:
            over = connection.read()
        except (OSError, ValueError) as error:
            self._give_up(connection, error)
            return
        if over:
            self._free.append(connection)
            self._unfinished -= 1

    def _give_up(self, connection: _Connection, error: Exception) -> None:
        connection.close()
        connection.heard.error = f"{type(error).__name__}: {error}"
        self._free.append(connection)
        self._unfinished -= 1


def _answered(heard: Heard, due: int) -> Answered:
    """What an answer was, of what was heard."""
    times, tokens = list[float](), 0
    try:
        for at, event in _events(heard):
            if "error" in event:
                return Answered(error=str(event["error"]))
            if event.get("usage"):
                tokens = int(event["usage"]["completion_tokens"])
            if event.get("choices"):
                times.append(at)
    except (ValueError, KeyError) as error:
        return Answered(error=heard.error or f"{type(error).__name__}: {error}")
    if heard.error or not times or tokens != due:
        return Answered(error=heard.error or f"{tokens} tokens came where {due} are due")
    gaps = tuple(later - sooner for sooner, later in pairwise(times))
    return Answered(tokens, times[0] - heard.began, gaps, heard.pieces[-1][0] - heard.began)


def _events(heard: Heard) -> Iterator[tuple[float, dict[str, Any]]]:
    """The events of a stream, each with the time of its last byte. Raises ValueError for an answer
    that is none."""
    rest = b""
    for at, text in _text(heard):
        *lines, rest = (rest + text).split(b"\n")
        for line in lines:
            told = line.strip().removeprefix(b"data:").strip()
            if told.startswith(b"{"):
                yield at, json.loads(told)


def _text(heard: Heard) -> Iterator[tuple[float, bytes]]:
    """The body as it came, out of its chunks."""
    raw, chunked, headed = b"", False, False
    for at, data in heard.pieces:
        raw += data
        if not headed:
            head, headed, raw = _head_of(raw)
            chunked = _chunked(_fields(head))
        if headed and not chunked:
            yield at, raw
            raw = b""
        while chunked and (chunk := _chunk_of(raw)) is not None:
            text, raw = chunk
            if not text:
                return
            yield at, text
    if chunked or not headed:
        raise ValueError("the answer breaks off")


def _fields(head: bytes) -> dict[bytes, bytes]:
    """By name, all in lower case."""
    pairs = (line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:] if b":" in line)
    return {name: value.strip() for name, value in pairs}


def _chunked(fields: dict[bytes, bytes]) -> bool:
    return fields.get(b"transfer-encoding") == b"chunked"


def _head_of(raw: bytes) -> tuple[bytes, bool, bytes]:
    """(head, whether it is complete, the rest). Raises ValueError for any status but 200."""
    head, end, rest = raw.partition(END_OF_HEAD)
    if not end:
        return b"", False, raw
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if " 200" not in status:
        raise ValueError(status)
    return head, True, rest


def _chunk_of(raw: bytes) -> tuple[bytes, bytes] | None:
    """(a chunk's text, what follows); None: it is not complete."""
    size, end, rest = raw.partition(b"\r\n")
    if not end:
        return None
    length = int(size.split(b";")[0], 16)
    return (rest[:length], rest[length + 2 :]) if len(rest) >= length + 2 else None
