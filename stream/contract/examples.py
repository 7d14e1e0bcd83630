"""The examples of the AsyncAPI document: one event of every type, from examples.json, encoded by the codec."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from stream.wire import EVENT_TYPES, Event, RequestRecord, encode

_SOURCE = "gateway-3f0c5a1e9b7d2468"
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TIME = 1_767_225_600.25


class _Example(msgspec.Struct):
    """Key, subject and data of an event."""

    key: str
    subject: str
    data: msgspec.Raw


@cache
def _examples() -> dict[str, _Example]:
    text = files("stream.contract").joinpath("examples.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, _Example])


def example_event(event_type: str) -> Event:
    """Return the example of `event_type`."""
    item = _examples()[event_type]
    data = msgspec.json.decode(item.data, type=EVENT_TYPES[event_type])
    request_id = _examples()[RequestRecord.event_type].subject
    return Event(
        id=f"{_SOURCE}/example/{event_type}",
        source=_SOURCE,
        type=event_type,
        time=_TIME,
        data=data,
        subject=item.subject,
        correlationid=request_id if item.subject else "",
        traceparent=_TRACE if item.subject else "",
        partitionkey=item.key,
    )


def example(event_type: str) -> dict[str, Any]:
    """Return headers and payload of the example of `event_type`, in the form of AsyncAPI."""
    record = encode(example_event(event_type))
    return {
        "name": event_type,
        "headers": {name: value.decode() for name, value in record.headers},
        "payload": json.loads(record.value),
    }
