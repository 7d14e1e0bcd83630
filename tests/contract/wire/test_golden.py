"""The bytes of version 1 can always be decoded: these files are never edited, a new version adds files."""

import json

import msgspec
import pytest
from support.golden_events import NAMES, TRACE, event, golden

from stream.wire import EVENT_TYPES, Event, decode, encode


def test_every_event_type_has_golden_bytes():
    assert {event(name).type for name in NAMES} == set(EVENT_TYPES)


@pytest.mark.parametrize("name", NAMES)
def test_golden_bytes_decode_to_the_event_that_wrote_them(name):
    _, value, headers = golden(name)
    decoded = decode(value, headers)
    assert decoded == Event(
        id=f"id-{name}",
        source="s1",
        type=dict(headers)["ce_type"].decode(),
        time=1_700_000_000.123456,
        data=decoded.data,
        subject="r1",
        correlationid="r1",
        causationid="cause",
        traceparent=TRACE,
        partitionkey="key",
        severitynumber="13",
        severitytext="warning",
    )
    fields = json.loads(msgspec.json.encode(msgspec.structs.asdict(decoded.data)))
    assert json.loads(value).items() <= fields.items()


@pytest.mark.parametrize("name", NAMES)
def test_encoding_writes_the_same_bytes(name):
    record = encode(event(name))
    assert (record.key, record.value, list(record.headers)) == golden(name)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_and_headers_are_ignored(name):
    _, value, headers = golden(name)
    more = json.dumps(json.loads(value) | {"field_of_tomorrow": [1]}).encode()
    assert decode(more, [*headers, ("ce_tomorrow", b"x"), ("other", b"\xff")]) == event(name)
