import pytest

from stream.wire import DecodeError, Event, SchemaError, Tick, decode, encode

RECORD = encode(Event(id="1", source="s", type=Tick.event_type, time=1.0, data=Tick(sources={"s": 1.0})))
HEADERS = dict(RECORD.headers)


def without(name):
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.mark.parametrize(
    ("value", "headers", "error", "match"),
    [
        (RECORD.value, None, DecodeError, "ce_specversion"),
        (RECORD.value, without("ce_specversion"), DecodeError, "ce_specversion"),
        (RECORD.value, without("ce_id"), DecodeError, "ce_id"),
        (RECORD.value, without("ce_source"), DecodeError, "ce_source"),
        (RECORD.value, without("ce_time"), DecodeError, "ce_time"),
        (RECORD.value, HEADERS | {"ce_time": b"yesterday"}, DecodeError, "RFC 3339"),
        (RECORD.value, HEADERS | {"ce_time": b"2026-01-01T00:00:00"}, DecodeError, "RFC 3339"),
        (RECORD.value, HEADERS | {"ce_id": b"\xff"}, DecodeError, "UTF-8"),
        (RECORD.value, HEADERS | {"ce_type": b"weir.tick.v9"}, DecodeError, "ce_type"),
        (None, HEADERS, DecodeError, "no value"),
        (None, HEADERS | {"ce_type": b"secret"}, DecodeError, "ce_type"),
        (b"", HEADERS, DecodeError, "not JSON"),
        (b"\xff\xfe", HEADERS, DecodeError, "not JSON"),
        (b'{"unknown": ' + b"[" * 100_000, HEADERS, DecodeError, "not JSON"),
        (b'{"sources": {"s": "secret@example.org"}}', HEADERS, SchemaError, "Expected `float`"),
        (b"[]", HEADERS, SchemaError, "Expected `object`"),
    ],
)
def test_a_malformed_record_is_an_error_without_its_text(value, headers, error, match):
    with pytest.raises(error, match=match) as caught:
        decode(value, headers)
    assert "secret" not in str(caught.value)
