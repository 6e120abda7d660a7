"""The client: streams completions over HTTP and notes when each piece came. Standard library alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MOST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt of token ids, so many tokens that are due, seconds after the beginning at which it is sent."""

    prompt: tuple[int, ...]
    max_new: int
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one. first: seconds to the first piece; gaps: between pieces; seconds: to the end. error: a sentence
    when it was not answered; then the rest means nothing."""

    tokens: int = 0
    first: float = 0.0
    gaps: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str = ""


def ask_all(port: int, asked: Sequence[Asked], at_once: int) -> tuple[list[Answered], float]:
    """Ask a server on this machine, so many at once; the answers in order, and seconds from first to last."""
    return asyncio.run(_ask_all(port, asked, at_once))


async def _ask_all(port: int, asked: Sequence[Asked], at_once: int) -> tuple[list[Answered], float]:
    seats, began = asyncio.Semaphore(at_once), time.perf_counter()

    async def one(each: Asked) -> Answered:
        await asyncio.sleep(each.after)
        async with seats:
            try:
                return await _ask(port, each)
            except (OSError, ValueError, KeyError, asyncio.IncompleteReadError) as error:
                return Answered(error=f"{type(error).__name__}: {error}")

    answers = await asyncio.gather(*map(one, asked))
    return list(answers), time.perf_counter() - began


async def _ask(port: int, asked: Asked) -> Answered:
    told = {"model": "waiter", "prompt": list(asked.prompt), "max_tokens": asked.max_new, "temperature": 0}
    options = {"ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    began, times, tokens = time.perf_counter(), list[float](), 0
    async for event in _events(port, "/v1/completions", told | options):
        if "error" in event:
            return Answered(error=str(event["error"]))
        if event.get("usage"):
            tokens = int(event["usage"]["completion_tokens"])
        if event.get("choices"):
            times.append(time.perf_counter())
    if not times or tokens != asked.max_new:
        return Answered(error=f"{tokens} tokens came where {asked.max_new} are due")
    gaps = tuple(later - sooner for sooner, later in pairwise(times))
    return Answered(tokens, times[0] - began, gaps, time.perf_counter() - began)


async def _events(port: int, path: str, body: Any) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream. Raises ValueError for an answer that is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MOST_LINE)
    try:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if " 200 " not in answer.split("\r\n", 1)[0]:
            raise ValueError(answer.split("\r\n", 1)[0])
        chunks = _chunks(reader) if "chunked" in answer.lower() else _pieces(reader)
        rest = b""
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.strip().removeprefix(b"data:").strip()
                if text.startswith(b"{"):
                    yield json.loads(text)
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while piece := await reader.read(1 << 16):
        yield piece
