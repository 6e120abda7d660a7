"""What a client may ask for at most: how large a body, how long it may take to come, how many wait."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from course.server.api_error import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request


HEARD_OUT = 8
"""So many times what is allowed is read and thrown away: who still sends when a connection ends hears no answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """body: bytes. body_seconds: until all of it has come. answers: due at once, those that wait included. key: what a
    client has to show; None: nothing."""

    body: int = 4 << 20
    body_seconds: float = 20.0
    answers: int = 1024
    key: str | None = None

    async def read(self, request: Request) -> bytes:
        """The body. Raises ApiError 413 or 408."""
        told = request.headers.get("content-length", "")
        if told.isdecimal() and int(told) > HEARD_OUT * self.body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.body_seconds):
                return await self._gather(request)
        except TimeoutError:
            sentence = f"the body did not come within {self.body_seconds:.0f} s."
            raise ApiError(408, sentence, headers={"Connection": "close"}) from None

    async def _gather(self, request: Request) -> bytes:
        body, count = bytearray(), 0
        async for piece in request.stream():
            count += len(piece)
            if count <= self.body:
                body += piece
            elif count > HEARD_OUT * self.body:
                break
        if count > self.body:
            raise self._too_large()
        return bytes(body)

    def _too_large(self) -> ApiError:
        sentence = f"the body is larger than {self.body} bytes."
        return ApiError(413, sentence, code="body_too_large", headers={"Connection": "close"})

    def check_key(self, request: Request) -> None:
        """Raises ApiError 401 for a client without the key."""
        if self.key is None:
            return
        shown = request.headers.get("authorization", "")
        if not hmac.compare_digest(shown.encode(), f"Bearer {self.key}".encode()):
            headers = {"WWW-Authenticate": "Bearer"}
            raise ApiError(401, "this server asks for an API key.", code="invalid_api_key", headers=headers)

    def check_room(self, waiting: int, more: int) -> None:
        """Raises ApiError 429 when so many more answers are too many now, 400 when they always are."""
        if more > self.answers:
            raise ApiError(400, f"{more} answers in one request are too many; {self.answers} may be due.", param="n")
        if waiting + more > self.answers:
            sentence = f"{waiting} answers are due already, {self.answers} may be; come back in a second."
            raise ApiError(429, sentence, code="queue_full", headers={"Retry-After": "1"})
