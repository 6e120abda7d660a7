"""What is told to a coroutine arrives, once, in order, however it waits."""

from __future__ import annotations

import asyncio

from course.server.mailbox import Mailbox


def test_a_reader_gets_everything_once_whether_it_waited_or_not() -> None:
    async def run() -> list[list[int]]:
        box = Mailbox[int]()
        box.put(1)
        box.put(2)
        got = [await box.take()]
        waits = asyncio.create_task(box.take())
        await asyncio.sleep(0)
        box.put(3)
        box.put(4)
        got.append(await waits)
        given_up = asyncio.create_task(box.take())
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        box.put(5)
        return [*got, await box.take()]

    assert asyncio.run(run()) == [[1, 2], [3, 4], [5]]
