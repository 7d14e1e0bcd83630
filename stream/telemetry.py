"""Traces, metrics and health of one process: an OTLP exporter, and an HTTP port for Prometheus and health checks.

Every process of a stack uses this module, including Ray replicas. Callers never put texts of users into spans and labels; tests/e2e checks this.
"""

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

#: Timeout of an export: a trace store on a busy machine is slow, and a batch that times out is lost.
_EXPORT_SECONDS = 60
#: Limit on sending the last spans: with the shipper's own limit (8 s), within supervisord's 10 s from SIGTERM to SIGKILL.
_SHUTDOWN_SECONDS = 2.0
#: A connection of the metrics port that neither sends nor reads for this time is closed: each one has a thread and a file descriptor.
_IDLE_SECONDS = 10
#: Maximum number of open connections of a metrics port; Prometheus and health checks need one each.
MOST_CONNECTIONS = 64
#: A larger ``tracestate`` is dropped; W3C Trace Context asks for at least 512 characters to be propagated.
MAX_TRACESTATE_BYTES = 512
#: The subject in a process's health of an event loop that does not run. Only a restart helps.
STALLED = "event loop"
_PROPAGATOR = TraceContextTextMapPropagator()
# OpenTelemetry's warnings about a malformed tracestate quote the client's header.
logging.getLogger(TraceState.__module__).addFilter(lambda _record: False)

Health = Callable[[], dict[str, object] | None]


class Page(msgspec.Struct, frozen=True):
    """An HTTP response of the metrics port."""

    status: int
    content_type: str
    body: bytes


#: Returns the response to a path and the request's ``Host``, or None.
Pages = Callable[[str, str], Page | None]


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """Export of spans to the OTLP/HTTP traces URL `endpoint` ("" means no export); each request has the `headers`.

    `ratio` is the share of new traces to sample, in [0, 1]; traces with a sampled parent are always sampled.
    """

    endpoint: str
    headers: dict[str, str]
    ratio: float


def tracer_provider(service: str, settings: TraceSettings) -> TracerProvider:
    """Return a provider that exports `service`'s spans in the background; the caller ends it with :func:`shut_down`.

    If the queue (16,384 spans) is full, spans are dropped; requests never wait.
    """
    sampler = ParentBased(TraceIdRatioBased(settings.ratio))
    resource = Resource.create({"service.name": f"weir-{service}", "service.namespace": "weir"})
    provider = TracerProvider(sampler=sampler, resource=resource)
    if settings.endpoint:
        # Imported here: it takes 65 ms, and commands that export no spans import this module too.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        exporter = OTLPSpanExporter(endpoint=settings.endpoint, headers=settings.headers, timeout=_EXPORT_SECONDS)
        processor = BatchSpanProcessor(
            exporter, max_queue_size=16_384, max_export_batch_size=256, schedule_delay_millis=500
        )
        provider.add_span_processor(processor)
    return provider


def shut_down(provider: TracerProvider) -> None:
    """Send the spans that remain, for at most 2 s: without this limit, the provider waits 30 s for a trace store that is away."""
    ending = threading.Thread(target=provider.shutdown, name="tracer shutdown", daemon=True)
    ending.start()
    ending.join(_SHUTDOWN_SECONDS)


def incoming_context(headers: Mapping[str, str]) -> Context:
    """Return the trace context in a client's headers, or an empty context without a valid ``traceparent``.

    A ``tracestate`` that is malformed or larger than 512 bytes is dropped; the ``traceparent`` is kept.
    """
    tracestate = bounded_tracestate(headers.get("tracestate", ""))
    return _PROPAGATOR.extract({"traceparent": headers.get("traceparent", ""), "tracestate": tracestate}, Context())


def bounded_tracestate(header: str) -> str:
    """Return `header`, or "" if it is larger than :data:`MAX_TRACESTATE_BYTES`."""
    return header if len(header.encode()) <= MAX_TRACESTATE_BYTES else ""


def parent_context(traceparent: str | None) -> Context | None:
    """Return a context with the span of `traceparent` as current span, or None if `traceparent` is absent or invalid."""
    context = incoming_context({"traceparent": traceparent or ""})
    return context if _span_context(context).is_valid else None


def _span_context(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def link_to(traceparent: str | None) -> list[Link]:
    """Return a list with a link to the span of `traceparent`, or [] if `traceparent` is absent or invalid."""
    context = parent_context(traceparent)
    return [] if context is None else [Link(_span_context(context))]


def traceparent_of(span: trace.Span) -> str:
    """Return the ``traceparent`` header of `span`, or "" for a span without a valid context."""
    trace_id, span_id, _, flags, _, is_valid = span.get_span_context()
    # Formatting an integer of 128 bits as hexadecimal takes four times as long as formatting its bytes.
    return f"00-{trace_id.to_bytes(16).hex()}-{span_id.to_bytes(8).hex()}-0{flags & 1}" if is_valid else ""


def tracestate_of(span: trace.Span) -> str:
    """Return the ``tracestate`` header of `span`'s trace, or "" if the trace has none."""
    state = span.get_span_context().trace_state
    return state.to_header() if state else ""


class _Server(ThreadingHTTPServer):
    """Closes its oldest connection if there are too many, so that idle connections never prevent a health check."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            if len(self._open) > MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):  # it ended meanwhile
                    oldest.shutdown(socket.SHUT_RDWR)  # ends its thread
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


class MetricsServer:
    """Serves Prometheus metrics at ``/metrics``, health at ``/healthz`` and liveness at ``/livez`` on a port, in a separate thread.

    Port 0 selects a free port (see :attr:`port`). `health` returns None or {} for status 200, or {subject: reason} for
    503. ``/livez`` is 503 only for the subject `STALLED`, because a restart does not end the other faults, such as an
    outage of Kafka. `pages` returns the response for every other path.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        port: int,
        health: Health | None = None,
        *,
        host: str = "127.0.0.1",
        pages: Pages | None = None,
    ) -> None:
        parts = {
            "timeout": _IDLE_SECONDS,
            "registry": registry,
            "health": staticmethod(health or dict),
            "pages": staticmethod(pages or _no_page),
        }
        self._server = _Server((host, port), type("Handler", (_Handler,), parts))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return int(self._server.server_address[1])

    def start(self) -> "MetricsServer":
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _no_page(_path: str, _host: str) -> Page | None:
    return None


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    health: Health
    pages: Pages

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client left; the server would print a traceback
            super().handle()

    def do_GET(self) -> None:
        page = self._page()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def _page(self) -> Page:
        if self.path == "/metrics":
            return Page(200, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        if self.path in {"/healthz", "/livez"}:
            reasons = type(self).health() or {}
            if self.path == "/livez":
                reasons = {name: reason for name, reason in reasons.items() if name == STALLED}
            body = json.dumps(reasons or {"status": "ok"}).encode()
            return Page(503 if reasons else 200, "application/json", body)
        found = type(self).pages(self.path, self.headers.get("Host", ""))
        return found or Page(404, "text/plain", b"see /metrics, /healthz and /livez\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Log nothing, because requests for metrics arrive every second."""
        del format, args
