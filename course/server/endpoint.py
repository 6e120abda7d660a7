"""An endpoint that is asked by POST, as an ASGI application of its own.

Answers that are said token by token go this way: what a framework does for each request and each
piece of a stream costs more than the piece.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from course.server.api_error import ApiError, error_object
from course.server.call import Call, Receive, Scope, Send
from course.server.limits import Limits

STUMBLED = error_object(500, "the server itself stumbled; its log says more.")


class Endpoint:
    """answer: is given the call and its body, within the limits, and answers. An `ApiError` that it
    raises is told."""

    def __init__(self, limits: Limits, answer: Callable[[Call, bytes], Awaitable[None]]) -> None:
        self._limits, self._answer = limits, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        try:
            self._limits.check_caller(call.header(b"host"), call.header(b"origin"))
            self._limits.check_key(call.header(b"authorization"))
            await self._answer(call, await self._limits.read(call))
        except ApiError as error:
            await call.tell(error.body, error.status, error.headers)
        except Exception:  # the web server writes it down, and ends what was begun
            if not call.begun:
                await call.tell(STUMBLED, 500)
            raise
