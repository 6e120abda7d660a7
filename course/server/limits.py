"""What a client may ask for at most: how large a body, how long it may take to come, how many wait."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from course.server.api_error import ApiError

if TYPE_CHECKING:
    from course.server.call import Call

OWN_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))
CLOSED_BY_CLIENT = 499
HEARD_OUT = 8
"""So many times what is allowed is read and thrown away: who still sends when a connection ends hears no answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """body: bytes. body_seconds: until all of it has come. answers: due at once, those that wait
    included. key: what a client has to show; None: nothing. names: by which clients may call the
    server; none: by any."""

    body: int = 4 << 20
    body_seconds: float = 20.0
    answers: int = 1024
    key: str | None = None
    names: frozenset[str] = frozenset()

    @classmethod
    def at(cls, host: str, key: str | None = None) -> Limits:
        """Of a server that listens at `host`. Where that is this machine alone, whoever calls it by
        another name is a page of somebody else's in a browser here."""
        return cls(
            key=key, names=frozenset({host.lower(), *OWN_NAMES}) if _is_own(host) else frozenset()
        )

    def check_caller(self, called: str, sent_by: str) -> None:
        """Raises ApiError 403 for a page of another site, by the headers "Host" and "Origin"."""
        told = [_name(f"//{called}")] * bool(called) + [_name(sent_by)] * bool(sent_by)
        if self.names and not self.names.issuperset(told):
            raise ApiError(
                403,
                f"this server listens to this machine alone, called {' or '.join(sorted(OWN_NAMES))}.",
            )

    async def read(self, call: Call) -> bytes:
        """The body. Raises ApiError 413 or 408."""
        told = call.header(b"content-length")
        if told.isdecimal() and int(told) > HEARD_OUT * self.body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.body_seconds):
                return await self._gather(call)
        except TimeoutError:
            sentence = f"the body did not come within {self.body_seconds:.0f} s."
            raise ApiError(408, sentence, headers={"Connection": "close"}) from None

    async def _gather(self, call: Call) -> bytes:
        body, count, more = bytearray(), 0, True
        while more:
            message = await call.receive()
            if message["type"] == "http.disconnect":
                raise ApiError(CLOSED_BY_CLIENT, "the client hung up.")
            piece, more = message.get("body", b""), message.get("more_body", False)
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

    def check_key(self, shown: str) -> None:
        """Raises ApiError 401 for a client whose header "Authorization" does not hold the key."""
        if self.key is None:
            return
        if not hmac.compare_digest(shown.encode(), f"Bearer {self.key}".encode()):
            headers = {"WWW-Authenticate": "Bearer"}
            raise ApiError(
                401, "this server asks for an API key.", code="invalid_api_key", headers=headers
            )

    def check_room(self, waiting: int, more: int) -> None:
        """Raises ApiError 429 when so many more answers are too many now, 400 when they always are."""
        if more > self.answers:
            raise ApiError(
                400,
                f"{more} answers in one request are too many; {self.answers} may be due.",
                param="n",
            )
        if waiting + more > self.answers:
            sentence = (
                f"{waiting} answers are due already, {self.answers} may be; come back in a second."
            )
            raise ApiError(429, sentence, code="queue_full", headers={"Retry-After": "1"})


def _is_own(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name(url: str) -> str:
    """The host's name in an address; "" where it has none, or more than a name and a port."""
    try:
        parts = urlsplit(url)
        return "" if "@" in parts.netloc or not parts.hostname else parts.hostname
    except ValueError:
        return ""
