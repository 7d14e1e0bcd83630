"""HTTP over ASGI, as much of it as the gateway needs: who asks, a bounded body, JSON and server-sent events."""

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from serving.openai_api.errors import ApiError
from stream.wire.ids import new_request_id

__all__ = ["Headers", "Reply", "Send", "read_body", "request_id_of"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[str, str]

_ENCODER = msgspec.json.Encoder()
_JSON = b"application/json"
_EVENT_STREAM = b"text/event-stream; charset=utf-8"


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the request's headers by lower-case name; of repeated ones the first, so that the edge's stay in place."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found


def request_id_of(headers: Headers, edge_token: str) -> str:
    """Return the edge's request id where the request came through it, else a new one; a client's is never taken."""
    given = headers.get("x-request-id", "")
    if given and edge_token and hmac.compare_digest(headers.get("x-weir-edge", ""), edge_token):
        return given
    return new_request_id()


async def read_body(receive: Receive, headers: Headers, most_bytes: int) -> bytes:
    """Return the request's body.

    Raises
    ------
    ApiError
        413 as soon as it is known to be larger than `most_bytes`; 415 where it is compressed, since what it unpacks to
        has no bound.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            415, "content-encoding is not supported; send the body as it is.", code="unsupported_content_encoding"
        )
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most_bytes:
        raise _too_large(most_bytes)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "The connection was closed before the body had ended.", code="incomplete_body")
        part = message.get("body", b"")
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(most_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"The body is larger than {most_bytes} bytes, the most that Weir takes; send a shorter request.",
        code="request_too_large",
        headers={"connection": "close"},
    )


class Reply:
    """The answer to one request, which may be sent whole or as a stream of events.

    Parameters
    ----------
    send
        ASGI's.
    request_id
        Sent as ``x-request-id``; the edge overwrites it with the same.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    @property
    def started(self) -> bool:
        """Whether the status has been sent, so that an error can no longer be an answer of its own."""
        return self.status is not None

    async def json(self, body: Any, status: int = 200, headers: Headers | None = None) -> None:
        """Send `body` whole."""
        await self.raw(_ENCODER.encode(body), _JSON, status, headers)

    async def raw(self, body: bytes, content_type: bytes, status: int, headers: Headers | None = None) -> None:
        """Send bytes whole."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [(b"content-type", content_type), length], headers)
        await self._send({"type": "http.response.body", "body": body})

    async def error(self, error: ApiError) -> None:
        """Send an error: as an answer where none has begun, else as the stream's last event."""
        if not self.started:
            await self.json(error.body(), error.status, error.headers)
            return
        await self.event(error.body())
        await self.end_events()

    async def start_events(self) -> None:
        """Begin a stream of server-sent events."""
        headers = [(b"content-type", _EVENT_STREAM), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await self._start(200, headers, None)

    async def event(self, *data: Any) -> None:
        """Send events, together."""
        body = b"".join(b"data: " + _ENCODER.encode(item) + b"\n\n" for item in data)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def done(self) -> None:
        """Send the last event, and end."""
        await self._send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def end_events(self) -> None:
        """End without the last event: the stream is not complete."""
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]], extra: Headers | None) -> None:
        self.status = status
        headers.append((b"x-request-id", self._request_id.encode()))
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (extra or {}).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
