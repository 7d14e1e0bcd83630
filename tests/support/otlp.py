"""OTLP exports of traces and logs, as Protobuf and as JSON."""

import base64
import json

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def span(attributes, *, span_id=SPAN_ID, **changes):
    """Return a span in OTLP's JSON format."""
    return {
        "traceId": TRACE_ID,
        "spanId": span_id,
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": "1767225600000000000",
        "endTimeUnixNano": "1767225601500000000",
        "attributes": pairs(attributes),
    } | changes


def log(event, body=None, *, attributes=None, span_id=SPAN_ID, **changes):
    """Return a log record in OTLP's JSON format."""
    record = {
        "traceId": TRACE_ID,
        "spanId": span_id,
        "eventName": event,
        "timeUnixNano": "1767225600000000000",
        "attributes": pairs(attributes or {}),
    }
    return record | ({} if body is None else {"body": value(body)}) | changes


def pairs(attributes):
    return [{"key": key, "value": value(item)} for key, item in attributes.items()]


def value(item):
    if isinstance(item, dict):
        return {"kvlistValue": {"values": pairs(item)}}
    if isinstance(item, list):
        return {"arrayValue": {"values": [value(one) for one in item]}}
    if isinstance(item, bytes):
        return {"bytesValue": base64.b64encode(item).decode()}
    names = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return {} if item is None else {names[type(item)]: item}


def traces(*spans):
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def logs(*records):
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}


def encoded(export, kind=PROTOBUF):
    """Return the bytes of an export."""
    if kind == JSON:
        return json.dumps(export).encode()
    message = ExportTraceServiceRequest() if "resourceSpans" in export else ExportLogsServiceRequest()
    return json_format.ParseDict(_with_base64(export), message).SerializeToString()


def _with_base64(node):
    """Return `node` with trace and span ids in base64, as Protobuf's JSON format requires."""
    if isinstance(node, list):
        return [_with_base64(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: base64.b64encode(bytes.fromhex(item)).decode() if key in {"traceId", "spanId"} else _with_base64(item)
        for key, item in node.items()
    }
