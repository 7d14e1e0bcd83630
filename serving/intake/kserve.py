"""KServe's inference logger: CloudEvents ``org.kubeflow.serving.inference.{request,response}``, one a half of an exchange.

Both halves have the same source and id, come from several workers in any order, and the answer's is sent for status 200 alone.
Specification: https://kserve.github.io/website, "Inference Logger"; shapes of KServe's ``pkg/logger``. CloudEvents' HTTP binding: binary,
structured and batched.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from serving.api_keys import Principal
from serving.intake.body_text import answered_of, asked_of, document
from serving.intake.errors import Unreadable
from serving.intake.reported_exchange import Sender, Told, identity_of, moment
from stream.wire import parse_time

__all__ = ["REQUEST_TYPE", "RESPONSE_TYPE", "events_of", "told_by_kserve"]

REQUEST_TYPE = "org.kubeflow.serving.inference.request"
RESPONSE_TYPE = "org.kubeflow.serving.inference.response"

_STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch+json"
_BINARY_TENSORS = "application/octet-stream"
_REQUIRED = ("id", "source", "type")
_CONVERSATION = "x-weir-conversation-id"

#: Attributes by name, and the data as bytes.
CloudEvent = tuple[dict[str, str], bytes]


def events_of(headers: Mapping[str, str], raw: bytes) -> Iterator[Any]:
    """Yield the events of an HTTP request, each to be read on its own, whatever CloudEvents' mode; raises Unreadable."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _BATCHED:
        batch = document(raw)
        if not isinstance(batch, list):
            raise Unreadable("the batch is no list; send a JSON array of structured CloudEvents")
        yield from batch
    elif kind == _STRUCTURED:
        yield document(raw)
    else:
        attributes = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
        attributes.setdefault("traceparent", headers.get("traceparent", ""))
        if kind == _BINARY_TENSORS:
            raise Unreadable(
                f"content-type is {_BINARY_TENSORS}, V2's binary tensors; let the client send them as JSON"
            )
        yield attributes, raw


def told_by_kserve(event: Any, principal: Principal) -> Told:
    """Return the half of an exchange that `event` tells of, sent with the key of `principal`.

    Raises
    ------
    Unreadable
        It is no event of KServe's logger, or its body has none of the shapes.
    """
    attributes, data = event if isinstance(event, tuple) else _structured(event)
    if missing := [name for name in _REQUIRED if not attributes.get(name)]:
        raise Unreadable(f"the CloudEvent has no {', '.join(missing)}; send ce-id, ce-source and ce-type")
    told = Told(
        identity=identity_of(principal.tenant, "kserve", attributes["source"], attributes["id"]),
        sender=Sender(
            tenant=principal.tenant,
            principal=principal.id,
            conversation=_conversation(attributes),
            traceparent=attributes.get("traceparent", ""),
        ),
    )
    at = _time(attributes)
    service = attributes.get("inferenceservicename", "")
    if attributes["type"] == REQUEST_TYPE:
        asked = asked_of(document(data))
        named = {"model": asked.model or service, "model_version": _version(attributes), "at": at}
        return msgspec.structs.replace(told, asked=msgspec.structs.replace(asked, **named))
    if attributes["type"] == RESPONSE_TYPE:
        answered = answered_of(data)
        named = {"model": answered.model or service, "at": at}
        return msgspec.structs.replace(told, answered=msgspec.structs.replace(answered, **named))
    raise Unreadable(
        f"ce-type is {attributes['type'][:64]!r}; it must be {REQUEST_TYPE} or {RESPONSE_TYPE}, as KServe's logger sends"
    )


def _structured(event: Any) -> CloudEvent:
    """Return a structured event's attributes, and its data as bytes whichever way it is written."""
    if not isinstance(event, Mapping):
        raise Unreadable("the event is no JSON object; send a structured CloudEvent")
    attributes = {str(name): str(value) for name, value in event.items() if name not in {"data", "data_base64"}}
    if isinstance(coded := event.get("data_base64"), str):
        try:
            return attributes, base64.b64decode(coded, validate=True)
        except binascii.Error:
            raise Unreadable(f"data_base64 ({len(coded)} characters) is not Base64; send data, or mend it") from None
    data = event.get("data")
    return attributes, data.encode() if isinstance(data, str) else msgspec.json.encode(data)


def _conversation(attributes: Mapping[str, str]) -> str:
    """Return the conversation where KServe is set to log its header (`metadataHeaders`)."""
    try:
        metadata = msgspec.json.decode(attributes.get("metadata") or "{}", type=dict[str, list[str]])
    except msgspec.DecodeError:
        return ""
    found = {name.lower(): values for name, values in metadata.items()}.get(_CONVERSATION, [])
    return found[0][:256] if found else ""


def _version(attributes: Mapping[str, str]) -> str:
    """Return what KServe calls the variant: namespace, component, and endpoint (default or canary) where it says it."""
    return "/".join(filter(None, (attributes.get(name, "") for name in ("namespace", "component", "endpoint"))))


def _time(attributes: Mapping[str, str]) -> float:
    try:
        return moment(parse_time(attributes.get("time", "")))
    except (ValueError, OverflowError):
        return 0.0
