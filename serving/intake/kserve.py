"""Read the events of KServe's inference logger: one CloudEvent for the request and one for the response of an exchange.

Both events have the same source and id, and arrive in any order. KServe sends the response event only for status 200.
Specification: https://kserve.github.io/website, "Inference Logger"; the fields are those of KServe's ``pkg/logger``. All modes of the
CloudEvents HTTP binding are read: binary, structured and batched.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from serving.api_keys import Principal
from serving.errors import UnreadablePayload
from serving.intake.body_text import document, request_from, response_from_bytes
from serving.intake.body_values import check_items
from serving.intake.reported_exchange import Origin, ReportedExchange, identity_of, valid_time
from stream.wire import parse_time

REQUEST_TYPE = "org.kubeflow.serving.inference.request"
RESPONSE_TYPE = "org.kubeflow.serving.inference.response"

_STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch+json"
_BINARY_TENSORS = "application/octet-stream"
_REQUIRED = ("id", "source", "type")
_CONVERSATION = "x-weir-conversation-id"
_SHOWN_TYPE_CHARACTERS = 64

#: Attributes by name, and the data as bytes.
CloudEvent = tuple[dict[str, str], bytes]


def events_of(headers: Mapping[str, str], raw: bytes) -> Iterator[Any]:
    """Yield the events of an HTTP request, for :func:`exchange_from_kserve`; raises UnreadablePayload."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _BATCHED:
        batch = document(raw)
        if not isinstance(batch, list):
            raise UnreadablePayload("the batch is not a list; send a JSON array of structured CloudEvents")
        check_items(batch)
        yield from batch
    elif kind == _STRUCTURED:
        yield document(raw)
    else:
        attributes = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
        attributes.setdefault("traceparent", headers.get("traceparent", ""))
        if kind == _BINARY_TENSORS:
            raise UnreadablePayload(f"content-type {_BINARY_TENSORS} (V2's binary tensors) is not supported; send JSON")
        yield attributes, raw


def exchange_from_kserve(event: Any, principal: Principal) -> ReportedExchange:
    """Return the request or response that `event` contains; `principal` owns the API key that was sent. Raises UnreadablePayload."""
    attributes, data = event if isinstance(event, tuple) else _structured(event)
    if missing := [name for name in _REQUIRED if not attributes.get(name)]:
        raise UnreadablePayload(f"the CloudEvent has no {', '.join(missing)}; send ce-id, ce-source and ce-type")
    exchange = ReportedExchange(
        identity=identity_of(principal.tenant, "kserve", attributes["source"], attributes["id"]),
        origin=Origin.of(principal, _conversation(attributes), traceparent=attributes.get("traceparent", "")),
    )
    at = _time(attributes)
    service = attributes.get("inferenceservicename", "")
    if attributes["type"] == REQUEST_TYPE:
        request = request_from(document(data))
        named = {"model": request.model or service, "model_version": _version(attributes), "at": at}
        return msgspec.structs.replace(exchange, request=msgspec.structs.replace(request, **named))
    if attributes["type"] == RESPONSE_TYPE:
        response = response_from_bytes(data)
        named = {"model": response.model or service, "at": at}
        return msgspec.structs.replace(exchange, response=msgspec.structs.replace(response, **named))
    raise UnreadablePayload(
        f"ce-type is {attributes['type'][:_SHOWN_TYPE_CHARACTERS]!r}; it must be {REQUEST_TYPE} or {RESPONSE_TYPE}"
    )


def _structured(event: Any) -> CloudEvent:
    if not isinstance(event, Mapping):
        raise UnreadablePayload("the event is not a JSON object; send a structured CloudEvent")
    attributes = {str(name): str(value) for name, value in event.items() if name not in {"data", "data_base64"}}
    if isinstance(coded := event.get("data_base64"), str):
        try:
            return attributes, base64.b64decode(coded, validate=True)
        except binascii.Error:
            raise UnreadablePayload(
                f"data_base64 ({len(coded)} characters) is not Base64; send data, or encode it"
            ) from None
    data = event.get("data")
    return attributes, data.encode() if isinstance(data, str) else msgspec.json.encode(data)


def _conversation(attributes: Mapping[str, str]) -> str:
    """Return the conversation id, if KServe sends its header (setting `metadataHeaders`), else ""."""
    try:
        metadata = msgspec.json.decode(attributes.get("metadata") or "{}", type=dict[str, list[str]])
    except msgspec.DecodeError:
        return ""
    found = {name.lower(): values for name, values in metadata.items()}.get(_CONVERSATION, [])
    return found[0] if found else ""


def _version(attributes: Mapping[str, str]) -> str:
    """Return the model version as namespace, component and, if present, endpoint (default or canary)."""
    return "/".join(filter(None, (attributes.get(name, "") for name in ("namespace", "component", "endpoint"))))


def _time(attributes: Mapping[str, str]) -> float:
    try:
        return valid_time(parse_time(attributes.get("time", "")))
    except (ValueError, OverflowError):
        return 0.0
