"""The window of a server: the page is open to everybody and tells nothing, what is seen is asked
for with the key."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("starlette")

from servers import open_server, solved, waiter

from course.server.app import ApiServer
from course.server.engine_thread import EngineThread
from course.server.limits import Limits
from course.server.opening import EngineOptions, served_model
from course.window.page import live
from reference_engine.engine import Engine


def test_with_a_key_the_page_is_open_and_what_it_shows_is_not() -> None:
    with open_server(limits=Limits(key="secret")) as (client, _):
        page = client.get("/")
        assert (page.status_code, page.text) == (200, live())
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/trace").status_code == 401
        assert client.get("/trace", headers={"Authorization": "Bearer guessed"}).status_code == 401


def test_who_watches_is_told_the_engine_its_steps_and_when_another_takes_over() -> None:
    def make() -> Engine:
        return Engine(waiter(), solved(), num_blocks=20, keep_trace=True)

    thread = EngineThread(make)
    server = ApiServer(thread, served_model(waiter(), thread, EngineOptions()))

    async def told() -> list[Any]:
        events, heard = server._records(), []
        heard.append(await anext(events))
        thread.engine.add([1, 2, 3], 2)
        thread.engine.step()
        thread.feed.take(thread.engine.trace)
        heard.append(await anext(events))
        assert thread.feed.watchers == 1
        thread.feed.restart()
        heard.append(await anext(events))
        await events.aclose()
        assert thread.feed.watchers == 0
        return [json.loads(event.decode().removeprefix("data: ")) for event in heard]

    opening, steps, again = asyncio.run(told())
    assert (
        opening["run"]
        == again["run"]
        == {"name": "waiter", "blocks": 20, "size": 16, "budget": 512}
    )
    (step,) = steps["steps"]
    assert step["s"] == [[0, [1, 2, 3]]]
    assert {"1", "2", "3"} <= set(steps["words"])
