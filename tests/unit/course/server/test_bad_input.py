"""Whatever a client sends: a clear answer in OpenAI's form, the others are served on, nothing
leaks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from servers import open_server, solved, waiter
from starlette.testclient import TestClient

from course.server.engine_thread import EngineThread
from course.server.limits import Limits
from reference_engine.parts import Parts, load_part

SHORT: dict[str, Any] = {"model": "waiter", "prompt": "Waiter:", "max_tokens": 4, "temperature": 0}
LONG = SHORT | {"max_tokens": 900, "ignore_eos": True}
CHAT = {"model": "waiter", "messages": [{"role": "user", "content": "Who are you?"}]}
COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, EngineThread]]:
    with open_server(seats=4) as (client, thread):
        yield client, thread


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (COMPLETIONS, SHORT | {"model": "gpt-5"}, 404, "model"),
        (COMPLETIONS, SHORT | {"top_z": 1}, 400, "top_z"),
        (COMPLETIONS, {"prompt": "Waiter:"}, 400, "model"),
        (COMPLETIONS, SHORT | {"max_tokens": "four"}, 400, "max_tokens"),
        (COMPLETIONS, SHORT | {"max_tokens": 0}, 400, "max_tokens"),
        (COMPLETIONS, SHORT | {"max_tokens": 10**30}, 400, "max_tokens"),
        (COMPLETIONS, SHORT | {"temperature": -1}, 400, "temperature"),
        (COMPLETIONS, SHORT | {"top_p": 0}, 400, "top_p"),
        (COMPLETIONS, SHORT | {"top_p": 1.5}, 400, "top_p"),
        (COMPLETIONS, SHORT | {"top_k": -2}, 400, "top_k"),
        (COMPLETIONS, SHORT | {"n": 0}, 400, "n"),
        (COMPLETIONS, SHORT | {"n": 5}, 400, "n"),
        (COMPLETIONS, SHORT | {"stop": ""}, 400, "stop"),
        (COMPLETIONS, SHORT | {"stop": ["x"] * 17}, 400, "stop"),
        (COMPLETIONS, SHORT | {"stop": "x" * 2000}, 400, "stop"),
        (COMPLETIONS, SHORT | {"stop": "x" * 10_000_000}, 413, None),
        (COMPLETIONS, SHORT | {"prompt": ""} | {"add_special_tokens": False}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"prompt": []}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"prompt": [[]]}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"prompt": [5, "Waiter:"]}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"prompt": [5, 1024]}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"prompt": [-1]}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"prompt": "soup " * 5000}, 400, "prompt"),
        (COMPLETIONS, SHORT | {"logprobs": 21}, 400, "logprobs"),
        (COMPLETIONS, SHORT | {"logprobs": 1, "echo": True}, 400, "echo"),
        (COMPLETIONS, SHORT | {"stream_options": {"include_usage": True}}, 400, "stream_options"),
        (COMPLETIONS, SHORT | {"best_of": 3}, 400, "best_of"),
        (COMPLETIONS, [SHORT], 400, None),
        (CHATS, CHAT | {"messages": []}, 400, "messages"),
        (CHATS, CHAT | {"messages": [{"role": "cook", "content": "?"}]}, 400, "messages"),
        (CHATS, CHAT | {"messages": [{"role": "assistant", "content": "?"}]}, 400, "messages"),
        (
            CHATS,
            CHAT | {"messages": [{"role": "user", "content": "soup " * 5000}]},
            400,
            "messages",
        ),
        (CHATS, CHAT | {"tools": [{"type": "function"}]}, 400, "tools"),
        (CHATS, CHAT | {"response_format": {"type": "json_object"}}, 400, "response_format"),
        (CHATS, CHAT | {"top_logprobs": 3}, 400, "top_logprobs"),
        (CHATS, CHAT | {"max_tokens": 3, "max_completion_tokens": 3}, 400, "max_tokens"),
        ("/tokenize", {}, 400, "prompt"),
        ("/detokenize", {"tokens": [5000]}, 400, "tokens"),
        ("/detokenize", {"tokens": [1], "model": "gpt-5"}, 404, "model"),
        ("/v1/embeddings", {}, 404, None),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_parameter(
    served: tuple[TestClient, EngineThread], path: str, body: Any, status: int, param: str | None
) -> None:
    client, thread = served
    answer = client.post(path, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param), error
    assert error["message"].endswith(".")
    assert error["message"].count("\n") == 0
    assert len(error["message"]) < 300
    assert thread.unfinished == 0


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"nan", b"[" * 100_000, b'{"model": NaN}', b'"a']
)
def test_what_is_no_json_is_refused(served: tuple[TestClient, EngineThread], raw: bytes) -> None:
    answer = served[0].post(COMPLETIONS, content=raw)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_wrong_method_is_told_in_the_same_form(served: tuple[TestClient, EngineThread]) -> None:
    answer = served[0].get(COMPLETIONS)
    assert answer.status_code == 405
    assert answer.json()["error"]["message"]


def test_special_tokens_in_a_message_are_text_of_nobody(
    served: tuple[TestClient, EngineThread],
) -> None:
    body = {"model": "waiter", "max_tokens": 1, "temperature": 0}
    sizes = [
        served[0]
        .post(CHATS, json=body | {"messages": [{"role": "user", "content": text}]})
        .json()["usage"]
        for text in ("Who are you?", "Who are you?<|end|><|begin|>")
    ]
    assert sizes[0] == sizes[1]


def test_a_key_is_asked_for_but_not_by_health() -> None:
    with open_server(limits=Limits(key="salt")) as (client, _):
        assert client.post(COMPLETIONS, json=SHORT).status_code == 401
        assert (
            client.get("/v1/models", headers={"Authorization": "Bearer pepper"}).status_code == 401
        )
        assert (
            client.get("/v1/models", headers={"Authorization": "Bearer sält".encode()}).status_code
            == 401
        )
        assert client.get("/v1/models", headers={"Authorization": "Bearer salt"}).status_code == 200
        assert client.get("/health").status_code == 200


def test_a_full_queue_answers_429_with_retry_after() -> None:
    with open_server(limits=Limits(answers=2)) as (client, thread):
        thread.unfinished += 1
        answer = client.post(COMPLETIONS, json=SHORT | {"n": 2})
        thread.unfinished -= 1
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert client.post(COMPLETIONS, json=SHORT | {"n": 2}).status_code == 200


def test_what_never_fits_is_not_told_to_come_back() -> None:
    with open_server(limits=Limits(answers=2)) as (client, _):
        answer = client.post(COMPLETIONS, json=SHORT | {"prompt": ["a", "b", "c"]})
        assert (answer.status_code, "retry-after" in answer.headers) == (400, False)


def test_a_body_without_a_length_is_limited_as_well() -> None:
    with open_server(limits=Limits(body=1000)) as (client, _):
        assert client.post(COMPLETIONS, content=iter([b"x" * 600] * 3)).status_code == 413


# ---------------------------------------------------------------- clients that are slow, or leave


def call(app: Any, body: bytes, receive: Any, path: str = COMPLETIONS) -> list[dict[str, Any]]:
    """Everything that the application sends to a client that sends `body` and then what `receive`
    says."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    pieces = iter([{"type": "http.request", "body": body, "more_body": False}] if body else [])

    async def incoming() -> dict[str, Any]:
        return next(pieces, None) or await receive(sent)

    asyncio.run(app(scope, incoming, send))
    return sent


def test_a_body_that_does_not_come_is_given_up() -> None:
    with open_server(limits=Limits(body_seconds=0.01)) as (client, _):

        async def never(sent: list[dict[str, Any]]) -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        assert call(client.app, b"", never)[0]["status"] == 408


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_leaves_no_blocks_behind(stream: bool) -> None:
    with open_server() as (client, thread):
        portal = client.portal
        assert portal is not None
        sent: list[dict[str, Any]] = []
        body = waiter().tokenizer  # loaded before anything is timed
        assert body

        async def hang_up() -> None:
            import msgspec

            raw = msgspec.json.encode(LONG | {"stream": stream, "n": 3})
            pieces = iter([{"type": "http.request", "body": raw, "more_body": False}])

            async def receive() -> dict[str, Any]:
                piece = next(pieces, None)
                if piece is None:
                    while thread.engine.metrics.emitted < 5:
                        await asyncio.sleep(0)
                    piece = {"type": "http.disconnect"}
                return piece

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {
                "type": "http",
                "method": "POST",
                "path": COMPLETIONS,
                "headers": [],
                "query_string": b"",
                "root_path": "",
            }
            await client.app(scope, receive, send)  # type: ignore[arg-type]

        portal.call(hang_up)
        assert client.post(COMPLETIONS, json=SHORT).status_code == 200  # a step later
        for _ in range(1000):  # what the load is, is said after the last answer
            if not thread.load.running:
                break
            client.get("/health")
        assert thread.engine.idle
        assert thread.unfinished == 0
        assert thread.engine.metrics.aborted == 3
        assert (thread.load.running, thread.load.kv_usage) == (0, 0)
        assert 'finished_reason="abort"} 3' in client.get("/metrics").text


# ---------------------------------------------------------------- parts that break

BROKEN = {
    "raises": "        if self._steps == 3: raise RuntimeError('no bread in /home/mira/kitchen/oven.txt')\n",
    "junk": "        if self._steps == 3: return [1, 2]\n",
    "hangs": "        while self._steps == 3: pass\n",
}


def broken_scheduler(folder: Path, how: str) -> tuple[Parts, str]:
    """The solution, but that its plan breaks in the third step of the first engine."""
    source = Path("solutions/ex2_batching_scheduler/scheduler.py").read_text(encoding="utf-8")
    begin = "        step = _Step(self._token_budget)\n        prefills"
    assert source.count(begin) == 1
    count = "        type(self).count = self._steps = getattr(type(self), 'count', 0) + 1\n"
    path = folder / "scheduler.py"
    path.write_text(source.replace(begin, count + BROKEN[how] + begin))
    own = solved()
    return Parts(own.block_manager, load_part(path, "scheduler"), own.prefix_cache), str(path)


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_part_that_breaks_is_named_and_the_others_are_served_on(tmp_path: Path, how: str) -> None:
    parts, path = broken_scheduler(tmp_path, how)
    with open_server(parts, stall=0.3, files=(path,)) as (client, thread):
        answer = client.post(COMPLETIONS, json=SHORT)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["type"]) == (
            500,
            "broken_part",
            "server_error",
        )
        assert error["message"].startswith("scheduler: step 2: ")
        assert "/home" not in answer.text
        assert "Traceback" not in answer.text
        health = client.get("/health")
        assert (health.status_code, health.json()["error"]["message"]) == (503, error["message"])
        again = client.post(COMPLETIONS, json=SHORT)
        assert (again.status_code, again.json()["usage"]["completion_tokens"]) == (200, 4)
        assert client.get("/health").json() == {"status": "ok", "broken_parts": 1}
        assert thread.load.running == thread.unfinished == 0


def test_a_stream_that_breaks_ends_with_the_error(tmp_path: Path) -> None:
    parts, _ = broken_scheduler(tmp_path, "raises")
    with open_server(parts) as (client, _):
        told = client.post(COMPLETIONS, json=SHORT | {"stream": True}).text.strip().split("\n\n")
    assert '"broken_part"' in told[-2]
    assert told[-1] == "data: [DONE]"


def test_a_part_that_always_breaks_breaks_each_request_and_not_the_server() -> None:
    own = solved()

    class Refusing(own.scheduler):  # type: ignore[misc, name-defined]
        def plan(self) -> None:
            raise ValueError("closed")

    with open_server(Parts(own.block_manager, Refusing, own.prefix_cache)) as (client, thread):
        for _ in range(3):
            answer = client.post(COMPLETIONS, json=SHORT | {"n": 2})
            assert "raised ValueError: closed" in answer.json()["error"]["message"]
        assert thread.failures == 3


def test_a_part_that_never_comes_back_is_given_up() -> None:
    own, bell = solved(), threading.Event()

    class Sleeping(own.scheduler):  # type: ignore[misc, name-defined]
        def plan(self) -> None:
            bell.wait()

    with open_server(Parts(own.block_manager, Sleeping, own.prefix_cache), stall=0.05) as (
        client,
        _,
    ):
        answer = client.post(COMPLETIONS, json=SHORT)
        assert answer.status_code == 500
        assert "did not come back" in answer.json()["error"]["message"]
        assert client.post(COMPLETIONS, json=SHORT).status_code == 500
        assert client.get("/health").status_code == 503
        bell.set()
