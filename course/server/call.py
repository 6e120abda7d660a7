"""One HTTP request and its answer, in the messages of ASGI: what lies between the web server and an
answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
JSON = (b"content-type", b"application/json")
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Call:
    """receive: the next message from the client. begun: the head of the answer has gone out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._headers, self.receive, self._send = scope["headers"], receive, send
        self.begun = False

    def header(self, name: bytes) -> str:
        """What the client said under a name in lower case, "" for nothing."""
        return next((value.decode("latin-1") for key, value in self._headers if key == name), "")

    async def tell(
        self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with JSON."""
        told = msgspec.json.encode(body)
        more = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in (headers or {}).items()
        ]
        await self._begin(status, [JSON, (b"content-length", b"%d" % len(told)), *more])
        await self._send({"type": "http.response.body", "body": told, "more_body": False})

    async def stream(self, events: bytes, *, last: bool) -> None:
        """Answer with server-sent events, of which these are the next. Waits for a client that
        reads slowly."""
        if not self.begun:
            await self._begin(200, EVENTS)
        await self._send({"type": "http.response.body", "body": events, "more_body": not last})

    async def hung_up(self) -> None:
        """Returns once the client is gone. To be asked when its request has been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
