"""A model of another OpenAI-compatible server as a backend of the gateway."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import httpx
import msgspec
from opentelemetry import trace

from serving.backend import (
    ANY_FIELD,
    LAST_EVENTS,
    MODEL_VERSION,
    RUNNING_USAGE,
    ModelInfo,
    ModelRequest,
    OpenAIChunk,
    RejectedRequest,
    answers_in,
)
from serving.decoded_json import UndecodableJson, decode_embeddings, decode_tolerantly
from serving.engine.protocol import EngineStats
from serving.settings import ModelSettings
from serving.upstream.circuit_breaker import CircuitBreaker
from serving.upstream.event_stream import EventParser, EventTooLarge, ServerSentEvent
from serving.upstream.failures import (
    OperatorFailure,
    UpstreamFailure,
    broken,
    circuit_open,
    error_response,
    reported_error,
    retry_after,
    transport_failure,
)
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_client import UpstreamClient
from stream.certificates import trusted_certificates
from stream.count_text import count_text
from stream.pause import BackOff
from stream.proxies import proxy_options
from stream.telemetry import traceparent_of

_LOG = logging.getLogger(__name__)
_PATHS = {
    "chat": "/chat/completions",
    "text_completion": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
}
_MIB = 1024 * 1024
#: Also of an event, because the last event of a response repeats all its output, such as images.
_MAX_BODY_BYTES = 16 * _MIB
#: 2,048 embeddings, the most of a request to OpenAI, with 3,072 dimensions in Base64 have 34 MB.
_MAX_EMBEDDINGS_BYTES = 64 * _MIB
_MAX_ERROR_BYTES = 1 * _MIB
#: More than 200,000 tokens in events of usual size.
_MAX_STREAM_BYTES = 64 * _MIB
#: Statuses of a server that does not work on the request; those from 500 on count as a failure of the server.
_RETRIED = frozenset({429, 502, 503, 504})
_FIRST_DELAY_SECONDS = 0.25
_MAX_DELAY_SECONDS = 2.0
#: A request that should wait longer is not sent again.
_MAX_RETRY_AFTER_SECONDS = 5.0
_DONE = b"[DONE]"


class UpstreamBackend:
    """Relays requests for the model `name` to the server in `settings`; create it in the event loop that uses it.

    Requests and chunks are relayed without change, except for the model's name and for `stream_options.include_usage`, which every
    streamed completion gets.
    """

    def __init__(self, name: str, settings: ModelSettings, metrics: UpstreamMetrics) -> None:
        self._name = name
        self._model = settings.upstream_model or name
        self._settings = settings
        self._base_url = settings.base_url
        self._slots = asyncio.Semaphore(settings.slots_or_default)
        self._in_progress = 0
        self._circuit = CircuitBreaker()
        self._retries = metrics.retries.labels(name)
        metrics.circuit_open.labels(name).set_function(lambda: self._circuit.is_open)
        key = settings.upstream_api_key.get_secret_value()
        self._client = httpx.AsyncClient(
            # A compressed response could be small and have any size after decompression.
            headers={"accept-encoding": "identity", "user-agent": "weir"}
            | ({"authorization": f"Bearer {key}"} if key else {}),
            # Requests of different tenants share the client; the cookies of one must not be sent with another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=httpx.Timeout(settings.upstream_read_seconds, connect=settings.upstream_connect_seconds),
            # The semaphore limits the connections.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.slots_or_default),
            # The context reads SSL_CERT_FILE, which httpx reads only with trust_env.
            verify=trusted_certificates(),
            **proxy_options([settings.base_url]),
        )
        self._upstream = UpstreamClient(self._client)

    async def describe(self) -> ModelInfo:
        """Return the description without a request to the other server, so its state never makes the gateway unready."""
        running = min(self._in_progress, self._settings.slots_or_default)
        return ModelInfo(
            engine="upstream",
            version=self._model,
            context_length=0,
            features=frozenset({ANY_FIELD}),
            stats=EngineStats(
                running=running, waiting=self._in_progress - running, slots=self._settings.slots_or_default
            ),
            circuit_open=self._circuit.is_open,
        )

    def capacity(self) -> int:
        """Return the maximum number of requests that this gateway accepts: with a connection, or waiting for a connection."""
        return self._settings.max_requests

    async def close(self) -> None:
        """Close all connections."""
        await self._upstream.close()

    async def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        """Relay a request; yield the chunks of its answer, or the whole response. Closing the iterator closes the connection."""
        if self._in_progress >= self.capacity():
            yield RejectedRequest(
                code="queue_full",
                status=503,
                message=f"{count_text(self._in_progress, 'request is', 'requests are')} in progress at the upstream server, the limit; try"
                " again in a second.",
            )
            return
        self._in_progress += 1
        try:
            async with self._slots, self._answered(request) as response:
                items = self._streamed(response, request) if request.stream else self._whole(response, request)
                async with aclosing(items):
                    async for item in items:
                        yield item
                self._circuit.succeeded()
        except UpstreamFailure as failure:
            if isinstance(failure, OperatorFailure):
                _LOG.error("model %s: %s", self._name, failure.rejected.message)
            yield failure.rejected
        finally:
            self._in_progress -= 1

    @asynccontextmanager
    async def _answered(self, request: ModelRequest) -> AsyncIterator[httpx.Response]:
        """Send a request, with retries unless it is a copy; yield the response before its body is read, and close it at the end.

        A failure that opens the circuit ends the retries, so that the client receives this failure.
        """
        retries = 0 if request.shadow else self._settings.upstream_retries
        back_off = BackOff(_FIRST_DELAY_SECONDS, _MAX_DELAY_SECONDS)
        for attempt in range(retries + 1):
            final = attempt == retries
            delay = back_off.seconds()
            try:
                response = await self._send(request)
            except UpstreamFailure as failure:
                if final or not failure.retryable or self._circuit.is_open:
                    raise
            else:
                delay = max(delay, retry_after(response) or 0.0)
                if (
                    final
                    or response.status_code not in _RETRIED
                    or delay > _MAX_RETRY_AFTER_SECONDS
                    or self._circuit.is_open
                ):
                    break
                await response.aclose()
            self._retries.inc()
            await asyncio.sleep(delay)
        try:
            yield response
        finally:
            await response.aclose()

    async def _send(self, request: ModelRequest) -> httpx.Response:
        if seconds := self._circuit.seconds_to_wait():
            raise circuit_open(seconds)
        probe = self._circuit.is_open
        try:
            response = await self._upstream.send(self._http_request(request))
        except (httpx.HTTPError, OSError) as error:
            self._failed(request, error, probe=probe)
            raise transport_failure(error, self._settings.upstream_read_seconds, answered=False) from None
        except BaseException:
            self._circuit.abandoned(probe=probe)
            raise
        if response.status_code in _RETRIED and response.is_server_error:
            self._failed(request, probe=probe, cause=f"status {response.status_code}")
        elif response.is_success:
            self._circuit.answered()
        else:
            self._circuit.succeeded()
        if probe and not self._circuit.is_open:
            _LOG.warning("model %s: the upstream server answers again", self._name)
        return response

    def _failed(
        self, request: ModelRequest, error: Exception | None = None, *, probe: bool = False, cause: str = ""
    ) -> None:
        if request.shadow:  # a copy with many answers can take too long while the server answers users well
            self._circuit.abandoned(probe=probe)
            return
        was_open = self._circuit.is_open
        self._circuit.failed(self._settings.upstream_read_seconds if isinstance(error, httpx.ReadTimeout) else 0.0)
        if self._circuit.is_open and not was_open:
            _LOG.error(
                "model %s: the upstream server failed repeatedly (%s); requests are rejected until it answers",
                self._name,
                cause or type(error).__name__,
            )

    def _http_request(self, request: ModelRequest) -> httpx.Request:
        headers = {"content-type": "application/json"}
        if traceparent := traceparent_of(trace.get_current_span()):
            headers["traceparent"] = traceparent
        content = msgspec.json.encode(self._body(request))
        return self._client.build_request(
            "POST", self._base_url + _PATHS[request.operation], content=content, headers=headers
        )

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body = request.body | {"model": self._model}
        if request.stream and request.operation in {"chat", "text_completion"}:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return body

    async def _pieces(
        self, response: httpx.Response, request: ModelRequest, max_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a body's bytes; raises UpstreamFailure if it is compressed, incomplete or larger than `max_bytes`."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise broken("sent a compressed response, which was not requested")
        size = 0
        try:
            async with aclosing(cast(AsyncGenerator[bytes, None], response.aiter_raw())) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    if size > max_bytes:
                        raise broken(
                            f"sent more than {max_bytes} bytes, the limit of a response; request less at a time, such as fewer inputs"
                        )
                    yield piece
        except (httpx.HTTPError, OSError) as error:
            self._failed(request, error)
            raise transport_failure(error, self._settings.upstream_read_seconds, answered=True) from None

    async def _read(self, response: httpx.Response, request: ModelRequest, max_bytes: int) -> bytes:
        async with aclosing(self._pieces(response, request, max_bytes)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def _check_status(self, response: httpx.Response, request: ModelRequest) -> None:
        """Raise UpstreamFailure unless the status is 2xx; it has the response's body if that is a JSON object, or an array of one."""
        if response.is_success:
            return
        body = None
        with suppress(UpstreamFailure, UndecodableJson):
            raw = await self._read(response, request, _MAX_ERROR_BYTES)
            # Google's server returns its errors in an array.
            body = decode_tolerantly(raw.strip().removeprefix(b"[").removesuffix(b"]"))
        raise error_response(response.status_code, body, retry_after(response))

    async def _whole(self, response: httpx.Response, request: ModelRequest) -> AsyncGenerator[OpenAIChunk, None]:
        await self._check_status(response, request)
        decode, max_bytes = decode_tolerantly, _MAX_BODY_BYTES
        if request.operation == "embeddings":
            decode, max_bytes = decode_embeddings, _MAX_EMBEDDINGS_BYTES
        try:
            body = decode(await self._read(response, request, max_bytes))
        except UndecodableJson as error:
            raise broken(f"sent a response that is not a JSON object: {error}") from None
        yield _checked("", body)

    async def _streamed(self, response: httpx.Response, request: ModelRequest) -> AsyncGenerator[OpenAIChunk, None]:
        await self._check_status(response, request)
        complete, choices = False, answers_in(request.operation, request.body)
        finished: dict[int, bool] = {}
        async with aclosing(self._pieces(response, request, _MAX_STREAM_BYTES)) as pieces:
            start = await anext(pieces, b"")
            if start.lstrip().startswith(b"{"):
                raise await _no_stream(start, pieces)
            async with aclosing(_events(start, pieces)) as events:
                async for event in events:
                    if event.data.strip() == _DONE:
                        complete = True
                        break
                    chunk = _chunk(event)
                    complete = _is_last(chunk, finished, choices)
                    yield chunk
            if complete:
                await self._upstream.end(response)
                return
        raise broken("ended its stream before the answer was complete")


async def _no_stream(start: bytes, pieces: AsyncGenerator[bytes, None]) -> UpstreamFailure:
    """Return the failure for a JSON body in the place of a stream: the error that it reports, if it reports one in at most `_MAX_ERROR_BYTES`."""
    whole, body = broken("answered a request for a stream with a whole response"), bytearray(start)
    async for piece in pieces:
        body += piece
        if len(body) > _MAX_ERROR_BYTES:
            return whole
    with suppress(UndecodableJson):
        return reported_error("", decode_tolerantly(bytes(body))) or whole
    return whole


async def _events(start: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[ServerSentEvent, None]:
    parser = EventParser(_MAX_BODY_BYTES)
    try:
        for event in parser.feed(start):
            yield event
        async for piece in pieces:
            for event in parser.feed(piece):
                yield event
        for event in parser.finish():
            yield event
    except EventTooLarge:
        raise broken(f"sent an event of more than {_MAX_BODY_BYTES} bytes, the limit") from None


def _chunk(event: ServerSentEvent) -> OpenAIChunk:
    try:
        chunk = decode_tolerantly(event.data)
    except UndecodableJson as error:
        raise broken(f"sent an event that is not a JSON object: {error}") from None
    return _checked(event.name, chunk)


def _checked(name: str, body: dict[str, Any]) -> OpenAIChunk:
    """Return an event with its `name`, or a response, without the fields that only engines of Weir may set; raises the failure that it reports."""
    if failure := reported_error(name, body):
        raise failure
    for field in (MODEL_VERSION, RUNNING_USAGE):
        body.pop(field, None)
    return body


def _is_last(chunk: OpenAIChunk, finished: dict[int, bool], expected: int) -> bool:
    """Return whether all `expected` choices have ended, so that ``[DONE]`` may be missing; note ended choices in `finished`."""
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and type(index := choice.get("index", 0)) is int:
            # Some servers send "" instead of null before the end.
            finished[index] = finished.get(index, False) or bool(choice.get("finish_reason"))
    if chunk.get("type") in LAST_EVENTS:
        finished[0] = True
    return len(finished) >= expected and all(finished.values())
