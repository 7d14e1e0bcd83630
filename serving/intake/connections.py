"""Limits on intake's connections: the number per client address, and the time until the headers have arrived."""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import ClassVar

import msgspec

from serving.header_deadline import HeaderDeadline
from serving.openai_api.errors import ApiError, unavailable
from serving.settings import IntakeSettings
from stream.count_text import count_text
from stream.wire.ids import new_request_id

_RETRY_AFTER_SECONDS = 1


class _BoundedProtocol(HeaderDeadline):
    """Also limits the number of connections; h11 itself limits the size of headers (64 KiB)."""

    settings: ClassVar[IntakeSettings]
    open: ClassVar[Counter[str]]
    _address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Count the connection, and reject it at once if a limit is exceeded."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self.open[self._address] += 1
        if (error := self._excess()) is not None:
            self._reject(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self.open[self._address] -= 1
        if not self.open[self._address]:
            del self.open[self._address]
        super().connection_lost(exc)

    def _excess(self) -> ApiError | None:
        limit, per_address = self.settings.connections, self.settings.connections_per_address
        if self.open[self._address] > per_address:
            return ApiError(
                429,
                f"Your address has more than {count_text(per_address, 'connection')} open, the limit (intake.connections_per_address);"
                f" close some and try again in {_RETRY_AFTER_SECONDS} second.",
                code="too_many_connections",
                headers={"retry-after": str(_RETRY_AFTER_SECONDS)},
            )
        if self.open.total() > limit:
            return unavailable(
                f"{count_text(limit, 'connection is', 'connections are')} open, the limit (intake.connections); try again in {_RETRY_AFTER_SECONDS} second.",
                code="too_many_connections",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        return None

    def _too_late(self) -> None:
        """Close the connection; if a part of the headers has arrived, respond with 408 first."""
        half_sent, _ = self.conn.trailing_data
        if not half_sent:
            self.transport.close()
            return
        bound = self.header_seconds
        message = f"The headers did not arrive within {bound:g} s, the limit; send them faster."
        self._reject(ApiError(408, message, code="request_timeout"))

    def _reject(self, error: ApiError) -> None:
        body = msgspec.json.encode(error.body())
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-request-id": new_request_id(),
            "connection": "close",
        }
        lines = [f"{name}: {value}\r\n" for name, value in (headers | error.headers).items()]
        head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{''.join(lines)}\r\n"
        self.transport.write(head.encode("latin-1") + body)
        self.transport.close()


def bounded_protocol(settings: IntakeSettings) -> type[asyncio.Protocol]:
    """Return an HTTP protocol class for one uvicorn server, with the limits of `settings`."""

    class Protocol(_BoundedProtocol):
        open: ClassVar[Counter[str]] = Counter()

    Protocol.settings = settings
    Protocol.header_seconds = settings.header_seconds
    return Protocol
