"""What is told to one coroutine, in order. Whoever tells never waits."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Of one reader, in whose event loop everything is called."""

    def __init__(self) -> None:
        self._letters: list[T] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, letter: T) -> None:
        """Tell the reader."""
        self._letters.append(letter)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def take(self) -> list[T]:
        """All that was told since the last time; at least one letter."""
        if not self._letters:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        letters, self._letters = self._letters, []
        return letters
