"""The parts of HTTP over ASGI that Weir needs: bodies of limited size, JSON and server-sent events."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from serving.openai_api.errors import ApiError, unavailable
from serving.ray_local.haproxy import BODY_SECONDS
from stream.count_text import count_text
from stream.wire.ids import new_request_id

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[str, str]

#: Time limit to wait until a client reads more of its answer; nginx's `send_timeout` has the same default.
SEND_SECONDS = 60.0

_ENCODER = msgspec.json.Encoder()
_JSON = b"application/json"
_EVENT_STREAM = b"text/event-stream; charset=utf-8"


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name. If a header is repeated, its first value is used, which HAProxy has set."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found


def request_id_of(headers: Headers, edge_token: str) -> str:
    """Return HAProxy's request id if the request has HAProxy's token, else a new id; an id from the client is ignored."""
    given = headers.get("x-request-id", "")
    if given and edge_token and hmac.compare_digest(headers.get("x-weir-edge", "").encode(), edge_token.encode()):
        return given
    return new_request_id()


class Slots:
    """Limits the number of requests in progress; a request takes a slot before its body is read.

    If all slots are taken, a request gets 503, OpenAI's status for an overloaded engine; 429 would mean that the quota of a key is used up.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @property
    def busy(self) -> bool:
        """Whether more than half of the slots are taken."""
        return self._taken * 2 > self._limit

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a slot for the duration of the ``with`` block; raises ApiError 503 if all slots are taken."""
        if self._taken >= self._limit:
            raise unavailable(
                f"{count_text(self._taken, 'request is', 'requests are')} in progress, the limit is {self._limit}; try again in a second.",
                code="queue_full",
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class LargeBodies:
    """Limits the size of request bodies of more than `usual` bytes: each to `largest` bytes, all in progress together to `total` bytes."""

    def __init__(self, usual: int, largest: int, total: int) -> None:
        self._usual = usual
        self._largest = largest
        self._total = total
        self._taken = 0

    @contextmanager
    def take(self, headers: Headers) -> Iterator[int]:
        """Reserve the size of a body for the duration of the ``with`` block; return the limit of its size.

        A body without ``content-length`` counts as `largest` bytes. Raises ApiError 503 if too many large bodies are in progress.
        """
        size = min(_declared_bytes(headers, self._largest), self._largest)
        if size <= self._usual:
            yield self._usual
            return
        if self._taken + size > self._total:
            raise unavailable(
                f"{self._taken} bytes of large request bodies are in progress, the limit is {self._total}"
                " (http.image_bodies_bytes); try again in a second.",
                code="queue_full",
            )
        self._taken += size
        try:
            yield self._largest
        finally:
            self._taken -= size


async def read_body(receive: Receive, headers: Headers, max_bytes: int) -> bytes:
    """Return the request's body; raises ApiError.

    The status is 408 after `BODY_SECONDS`, 413 for more than `max_bytes`, and 415 for a compressed body, because its size after decompression
    has no limit.
    """
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            415, "content-encoding is not supported; send the body as it is.", code="unsupported_content_encoding"
        )
    if _declared_bytes(headers, 0) > max_bytes:
        raise too_large(max_bytes)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _received(receive, max_bytes)
    except TimeoutError:
        raise _closing(
            408, f"The body did not arrive within {BODY_SECONDS:g} s, the limit; send it faster.", "request_timeout"
        ) from None


def _declared_bytes(headers: Headers, otherwise: int) -> int:
    """Return the number in the header ``content-length``, or `otherwise` if it is missing or no number."""
    try:
        return int(headers.get("content-length", ""))
    except ValueError:  # also for more digits than Python reads
        return otherwise


async def _received(receive: Receive, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "The connection was closed before the body had ended.", code="incomplete_body")
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def too_large(max_bytes: int, what: str = "The body") -> ApiError:
    """Return the error 413 for a body, or the part `what` of it, with more than `max_bytes`."""
    return _closing(
        413, f"{what} is larger than {max_bytes} bytes, the limit; send a shorter request.", "request_too_large"
    )


def _closing(status: int, message: str, code: str) -> ApiError:
    return ApiError(status, message, code=code, headers={"connection": "close"})


class ClientStalled(ApiError):
    """The client has read nothing of its answer for `seconds`, although its connection is open. No client receives this error."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            499, f"The client read nothing of its answer for {seconds:g} s, the limit.", code="client_stalled"
        )


async def send_in_time(send: Send, message: Message) -> None:
    """Send `message`; raises ClientStalled if the client reads nothing of its answer for `SEND_SECONDS`."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send(message)
    except TimeoutError:
        raise ClientStalled(SEND_SECONDS) from None


class Reply:
    """The response to one request, as one JSON body or as a stream of events.

    The header ``x-request-id`` is the request id; if HAProxy forwards the response, it sets the same value. `headers` are
    sent with the response, and can be changed until it starts. The methods that send raise ClientStalled after `SEND_SECONDS`.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None
        self.headers: dict[str, str] = {}

    @property
    def started(self) -> bool:
        """Whether the status has been sent; after that, an error can only be sent as an event of the stream."""
        return self.status is not None

    async def json(self, body: Any, status: int = 200, headers: Headers | None = None) -> None:
        """Send `body` as the whole response."""
        content = _ENCODER.encode(body)
        length = (b"content-length", str(len(content)).encode())
        await self._start(status, [(b"content-type", _JSON), length], headers)
        await self._send_body(content)

    async def error(self, error: ApiError) -> None:
        """Send an error as the response, or as the last event of a stream that has begun; raises no ClientStalled."""
        with suppress(ClientStalled):
            if not self.started:
                await self.json(error.body(), error.status, error.headers)
                return
            await self.event(error.body())
            await self._send_body(b"")  # no [DONE]: the stream is not complete

    async def start_events(self) -> None:
        """Begin a stream of server-sent events."""
        headers = [(b"content-type", _EVENT_STREAM), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await self._start(200, headers, None)

    async def event(self, data: Any, name: str = "") -> None:
        """Send `data` as an event; `name` is the event's name, or "" for none."""
        head = b"event: " + name.encode() + b"\ndata: " if name else b"data: "
        await self._send_body(head + _ENCODER.encode(data) + b"\n\n", more=True)

    async def done(self, *, marker: bool = True) -> None:
        """End the stream, with the event ``[DONE]`` if `marker` is true."""
        await self._send_body(b"data: [DONE]\n\n" if marker else b"")

    async def _send_body(self, body: bytes, *, more: bool = False) -> None:
        await send_in_time(self._send, {"type": "http.response.body", "body": body, "more_body": more})

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]], extra: Headers | None) -> None:
        headers.append((b"x-request-id", self._request_id.encode()))
        headers += [
            (name.encode("latin-1"), value.encode("latin-1", "backslashreplace"))
            for name, value in (self.headers | dict(extra or {})).items()
        ]
        self.status = status
        await send_in_time(self._send, {"type": "http.response.start", "status": status, "headers": headers})
