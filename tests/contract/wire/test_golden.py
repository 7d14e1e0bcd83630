"""The bytes of version 1 can always be decoded: these files are never edited, a new version adds files."""

import base64
import json
from pathlib import Path

import pytest
from support import golden_events as events

from stream.wire import EVENT_TYPES, decode, encode

HERE = Path(__file__).parent
GOLDEN = sorted((HERE / "golden" / "v1").glob("*.json"))


def _load(path):
    raw = json.loads(path.read_text())
    headers = [(name, value.encode()) for name, value in raw["headers"]]
    return raw["key"].encode(), base64.b64decode(raw["value"]), headers


def test_every_event_type_has_golden_bytes():
    assert {path.stem for path in GOLDEN} == set(events.DATA)
    assert {events.event(name).type for name in events.DATA} == set(EVENT_TYPES)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_bytes_decode_to_the_event_that_wrote_them(path):
    _, value, headers = _load(path)
    assert decode(value, headers) == events.event(path.stem)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_encoding_writes_the_same_bytes(path):
    key, value, headers = _load(path)
    record = encode(events.event(path.stem))
    assert (record.key, record.value, list(record.headers)) == (key, value, headers)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_unknown_fields_and_headers_are_ignored(path):
    _, value, headers = _load(path)
    more = json.dumps(json.loads(value) | {"field_of_tomorrow": [1]}).encode()
    assert decode(more, [*headers, ("ce_tomorrow", b"x"), ("other", b"\xff")]) == events.event(path.stem)
