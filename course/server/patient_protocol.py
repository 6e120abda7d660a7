"""uvicorn's HTTP protocol, on httptools where it is installed, that waits for a request, but not
for ever."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol

LONGEST_HEAD = 1 << 16
"""Bytes before a body."""
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


def patient_protocol(seconds: float, fast: bool | None = None) -> type[Protocol]:
    """A connection is closed when the head of a request has not come so many seconds after its
    beginning, the first one's after the connection was made. fast: httptools has to be there; None:
    if it is.
    """
    fast = importlib.util.find_spec("httptools") is not None if fast is None else fast

    class PatientProtocol(_careful_httptools() if fast else _h11()):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._patience = self.loop.call_later(seconds, transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop_waiting()
            elif self._patience is None:
                self._patience = self.loop.call_later(seconds, self.transport.close)

        def _stop_waiting(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    return PatientProtocol


def _h11() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return H11Protocol


def _careful_httptools() -> Any:
    """httptools hears a head out however long it is, and takes the body of a request that offers
    another protocol, as Java's client does by default, for that protocol: the one is ended, the
    offer is not passed on."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class CarefulProtocol(HttpToolsProtocol):
        _in_head, _in_body = False, False  # between two requests it is in neither
        _heads, _size = 0, 0

        def data_received(self, data: bytes) -> None:
            if not self._in_body:
                end = data.find(b"\r\n\r\n")
                head = data if end < 0 else data[:end]
                if UPGRADE.search(head):
                    data = UPGRADE.sub(b"\r\nignored:", head) + data[len(head) :]
            before = self._in_head, self._heads
            super().data_received(data)
            if self._in_head and before == (True, self._heads):  # all of it was of one head
                self._size += len(data)
                if self._size > LONGEST_HEAD:
                    self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head, self._heads, self._size = True, self._heads + 1, 0

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            self._in_head, self._in_body = False, True

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._in_body = False

    return CarefulProtocol
