"""The client of the serving race, and what is made of its laps."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from course.serving_race.__main__ import Lap, scenarios, verdicts
from course.serving_race.client import Asked, ask_all
from reference_engine.model_loader import load_model

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def stream(*events: object) -> bytes:
    return (
        b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)
        + b"data: [DONE]\n\n"
    )


def said(tokens: int) -> bytes:
    pieces = [{"choices": [{"text": "a"}]}] * tokens
    return stream(*pieces, {"choices": [], "usage": {"completion_tokens": tokens}})


def chunked(body: bytes, size: int) -> bytes:
    """In pieces that end anywhere."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    told = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + told + b"0\r\n\r\n"


@contextmanager
def answering(answer: bytes, heard: list[bytes], each: int = 1) -> Iterator[int]:
    """A server that gives one answer to everybody, so many on a connection; its port."""
    started, port, loop = threading.Event(), list[int](), asyncio.new_event_loop()

    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(each):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            heard.append(await reader.readexactly(length))
            writer.write(answer)
            await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answered, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        started.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(serve()), loop.run_forever()))
    thread.start()
    started.wait()
    try:
        yield port[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_an_answer_is_read_whatever_its_chunks(size: int) -> None:
    heard: list[bytes] = []
    with answering(chunked(said(3), size), heard) as port:
        (answer, other), _ = ask_all(port, [Asked((1, 2), 3), Asked((4,), 3)], 2)
    assert (answer.tokens, len(answer.gaps), answer.error, other.error) == (3, 2, "", "")
    assert sorted(json.loads(each)["prompt"] for each in heard) == [[1, 2], [4]]
    assert all(json.loads(each)["ignore_eos"] for each in heard)


@pytest.mark.parametrize("length", [True, False])
def test_a_connection_is_used_again_until_the_server_gives_it_up(length: bool) -> None:
    heard: list[bytes] = []
    answer = (
        HEAD + b"Content-Length: %d\r\n\r\n" % len(said(3)) + said(3)
        if length
        else chunked(said(3), 50)
    )
    with answering(answer, heard, each=2) as port:
        answers, _ = ask_all(port, [Asked((place,), 3) for place in range(5)], 1)
    assert [each.error for each in answers] == [""] * 5
    assert [json.loads(each)["prompt"] for each in heard] == [[place] for place in range(5)]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (chunked(said(2), 50), "2 tokens came where 3 are due"),
        (chunked(stream({"error": {"message": "broken"}}), 50), "broken"),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", "429"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nda", "breaks off"),
        (b"", "breaks off"),
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes, says: str) -> None:
    with answering(answer, []) as port:
        (told,), _ = ask_all(port, [Asked((1,), 3)], 1)
    assert says in told.error


def lap(server: str, scenario: str, number: int, rate: float, gap: float = 0.01) -> Lap:
    return Lap(server, scenario, number, rate, 32 * rate, 0.1, gap, gap)


def test_verdicts_are_medians_of_what_ran_side_by_side() -> None:
    rates: dict[str, Sequence[float]] = {
        "ours": (30, 60, 10),
        "vllm": (10, 30, 10),
        "offline": (30, 60, 20),
    }
    laps = [
        lap(name, "together", number, rate)
        for name, each in rates.items()
        for number, rate in enumerate(each)
    ]
    laps += [lap("ours", "talking", 1, 1, 0.01), lap("ours", "disturbed", 1, 1, 0.015)]
    told = verdicts(laps)
    assert told[0].endswith("2.00 (at least 1.5)")
    assert told[1].endswith("1.00 (at least 0.85)")
    assert told[2].endswith("1.50 (at most 2.0)")
    assert len(told) == 3


def test_a_round_asks_many_at_once_and_disturbs_the_same_talk_by_long_prompts() -> None:
    together, talking, disturbed = scenarios(load_model("waiter"), 1, 0.05)
    assert len(together.asked) == 7
    assert disturbed.asked[: len(talking.asked)] == talking.asked
    assert disturbed.watched == len(talking.asked)
    assert all(len(each.prompt) == 900 for each in disturbed.asked[disturbed.watched :])
