"""OTLP over HTTP: read exports of traces and logs, as Protobuf or JSON, and answer them.

Specification: https://opentelemetry.io/docs/specs/otlp/
"""

import base64
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from serving.errors import UnreadablePayload
from serving.http import ClientStalled, Headers, Receive, Reply, Send, read_body
from serving.intake.body_text import decoded
from serving.intake.body_values import check_json, check_protobuf, repaired_protobuf
from serving.openai_api.errors import ApiError, invalid

TRACES, LOGS = "/v1/traces", "/v1/logs"

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_GZIP_FORMAT = 31
_NANOSECONDS = 1e9


class OtlpSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span; ids are lower-case hexadecimal, times are seconds since the epoch. `events` are (name, time, attributes)."""

    trace_id: str
    span_id: str
    started: float
    ended: float
    failed: bool
    attributes: dict[str, Any]
    events: tuple[tuple[str, float, dict[str, Any]], ...]


class OtlpLog(msgspec.Struct, frozen=True, kw_only=True):
    """A log record; ids are "" if it belongs to no span."""

    trace_id: str
    span_id: str
    event: str
    time: float
    body: Any
    attributes: dict[str, Any]


class OtlpReply(Reply):
    """The response to one export, in the encoding of its request."""

    def __init__(self, send: Send, request_id: str, headers: Headers, path: str) -> None:
        super().__init__(send, request_id)
        self._is_json = _content_type(headers) == _JSON
        self._path = path

    async def exported(self, rejected: int, message: str) -> None:
        """Send success; `message` states why `rejected` items were rejected, which the client must not send again."""
        response = ExportTraceServiceResponse() if self._path == TRACES else ExportLogsServiceResponse()
        if rejected or message:
            name = "rejected_spans" if self._path == TRACES else "rejected_log_records"
            setattr(response.partial_success, name, rejected)
            response.partial_success.error_message = message
        await self._send_message(response, 200, None)

    async def error(self, error: ApiError) -> None:
        """Send an error as ``google.rpc.Status``; raises no ClientStalled."""
        with suppress(ClientStalled):
            await self._send_message(Status(message=error.message), error.status, error.headers)

    async def _send_message(self, message: Message, status: int, headers: Headers | None) -> None:
        content = json_format.MessageToJson(message).encode() if self._is_json else message.SerializeToString()
        kind = (_JSON if self._is_json else _PROTOBUF).encode()
        await self._start(status, [(b"content-type", kind), (b"content-length", str(len(content)).encode())], headers)
        await self._send_body(content)


async def read_export(receive: Receive, headers: Headers, max_bytes: int) -> bytes:
    """Return the body, decompressed if it is gzip; raises ApiError. `max_bytes` limits both sizes."""
    if headers.get("content-encoding", "").lower() != "gzip":
        return await read_body(receive, headers, max_bytes)
    plain = {name: value for name, value in headers.items() if name != "content-encoding"}
    return _decompressed(await read_body(receive, plain, max_bytes), max_bytes)


def spans_of(headers: Headers, body: bytes) -> Iterator[Callable[[], OtlpSpan]]:
    """Yield a function per span that returns the span; raises UnreadablePayload, as the functions do."""
    export, hex_of = _parsed(ExportTraceServiceRequest(), headers, body)
    for resource in export.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield partial(_span, span, hex_of)


def logs_of(headers: Headers, body: bytes) -> Iterator[OtlpLog]:
    """Yield the log records; raises UnreadablePayload."""
    export, hex_of = _parsed(ExportLogsServiceRequest(), headers, body)
    for resource in export.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield _log(record, hex_of)


def _span(span: Span, hex_of: "_HexOf") -> OtlpSpan:
    trace_id, span_id = _id(hex_of(span.trace_id), 32), _id(hex_of(span.span_id), 16)
    if not trace_id or not span_id:
        raise UnreadablePayload("a span has no valid trace id and span id; send 16 and 8 bytes that are not all zero")
    return OtlpSpan(
        trace_id=trace_id,
        span_id=span_id,
        started=span.start_time_unix_nano / _NANOSECONDS,
        ended=span.end_time_unix_nano / _NANOSECONDS,
        failed=span.status.code == SpanStatus.STATUS_CODE_ERROR,
        attributes=_attributes(span.attributes),
        events=tuple(
            (event.name, event.time_unix_nano / _NANOSECONDS, _attributes(event.attributes)) for event in span.events
        ),
    )


def _log(record: LogRecord, hex_of: "_HexOf") -> OtlpLog:
    attributes = _attributes(record.attributes)
    trace_id, span_id = _id(hex_of(record.trace_id), 32), _id(hex_of(record.span_id), 16)
    return OtlpLog(
        trace_id=trace_id if span_id else "",
        span_id=span_id if trace_id else "",
        event=record.event_name or str(attributes.get("event.name", "")),
        time=(record.time_unix_nano or record.observed_time_unix_nano) / _NANOSECONDS,
        body=_value(record.body),
        attributes=attributes,
    )


_HexOf = Callable[[bytes], str]


def _parsed(export: Any, headers: Headers, body: bytes) -> tuple[Any, _HexOf]:
    """Return the export in `body`, and the function that returns its ids as hexadecimal text."""
    kind = _content_type(headers)
    if kind == _PROTOBUF:
        check_protobuf(body, export.DESCRIPTOR)
        try:
            _parse(export, body)
        except DecodeError:
            raise UnreadablePayload(f"{len(body)} bytes are not OTLP; send {type(export).__name__}") from None
        return export, bytes.hex
    if kind != _JSON:
        raise ApiError(415, f"content-type must be {_PROTOBUF} or {_JSON}.", code="unsupported_content_type")
    check_json(body)
    try:
        fields = msgspec.convert(decoded(body), dict[str, Any])  # of other JSON, ParseDict ignores the items
        json_format.ParseDict(fields, export, ignore_unknown_fields=True)
    except (json_format.ParseError, TypeError, ValueError, RecursionError):  # their messages quote the body
        raise UnreadablePayload(f"{len(body)} bytes are not OTLP; send {type(export).__name__} as JSON") from None
    # An id of OTLP's JSON is hexadecimal where Protobuf's JSON has Base64.
    return export, lambda value: base64.b64encode(value).decode().lower()


def _parse(export: Message, body: bytes) -> None:
    try:
        export.ParseFromString(body)
    except DecodeError:
        export.ParseFromString(repaired_protobuf(body, export.DESCRIPTOR))


def _id(text: str, digits: int) -> str:
    """Return `text` if it is a valid id of `digits` hexadecimal digits, else ""."""
    if len(text) != digits or set(text) - set("0123456789abcdef") or not text.strip("0"):
        return ""
    return text


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pair: KeyValue
    for pair in pairs:
        found[pair.key] = _value(pair.value)
    return found


def _value(value: AnyValue) -> Any:
    """Return a value as JSON has it; bytes, such as those of an image, are Base64."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _decompressed(body: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(wbits=_GZIP_FORMAT)
    try:
        content = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        raise invalid("The body is not gzip; compress it, or leave out content-encoding.", code="unreadable") from None
    if len(content) > max_bytes:
        raise ApiError(
            413,
            f"The decompressed body is larger than {max_bytes} bytes, the limit; export smaller batches.",
            code="request_too_large",
        )
    if not stream.eof or stream.unused_data:
        raise invalid("The body is not one complete gzip member; send it again.", code="unreadable")
    return content
