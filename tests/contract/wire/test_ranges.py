"""Every number of every event has a range that SQLite and OTLP can store. A number outside the range is an error."""

import json

import pytest
from support import golden_events as events

from stream.contract.schemas import components
from stream.wire import MAX_COUNT, SchemaError, Usage, decode, encode


def nodes(value, path=()):
    """Yield (path, node) of a JSON document."""
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


def changed(document, path, value):
    copy = json.loads(json.dumps(document))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return json.dumps(copy).encode()


NUMBERS = [
    (name, path, type(value))
    for name in events.NAMES
    for path, value in nodes(json.loads(events.golden(name)[1]))
    if type(value) in (int, float)
]


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name, path, kind in NUMBERS if kind is int],
    ids=lambda value: value if isinstance(value, str) else ".".join(map(str, value)),
)
@pytest.mark.parametrize(
    "number",
    [str(2**63), str(-(2**63) - 1), "1" + "0" * 400, "1" + "0" * 5000],
    ids=["2^63", "-2^63-1", "10^400", "10^5000"],
)
def test_an_integer_beyond_64_bits_is_an_error_without_its_value(name, path, number):
    _, raw, headers = events.golden(name)
    value = changed(json.loads(raw), path, "HERE").replace(b'"HERE"', number.encode())
    with pytest.raises(SchemaError) as caught:
        decode(value, headers)
    assert number not in str(caught.value)


def test_every_integer_of_every_event_has_a_minimum_and_a_maximum():
    integers = [
        (path, node)
        for path, node in nodes(components("{name}"))
        if isinstance(node, dict) and node.get("type") == "integer"
    ]
    assert len(integers) > 20
    assert [path for path, node in integers if not {"minimum", "maximum"} <= node.keys()] == []
    assert all(node["minimum"] >= -(2**63) and node["maximum"] < 2**63 for _, node in integers)


@pytest.mark.parametrize("field", ["latency_seconds", "time_to_first_token_seconds"])
@pytest.mark.parametrize("number", [b"1e300", b"1e999", b"-1", b"null", b'"NaN"', b"1" * 400])
def test_a_latency_out_of_range_is_an_error(field, number):
    record = encode(events.event("v2/response"))
    value = changed(json.loads(record.value), (field,), "HERE").replace(b'"HERE"', number)
    if (field, number) == ("time_to_first_token_seconds", b"null"):
        assert decode(value, record.headers).data.time_to_first_token_seconds is None
        return
    with pytest.raises(SchemaError):
        decode(value, record.headers)


def test_the_largest_numbers_are_unchanged():
    response = events.event("v2/response")
    most = json.loads(encode(response).value) | {"usage": {"prompt_tokens": MAX_COUNT, "completion_tokens": MAX_COUNT}}
    assert decode(json.dumps(most).encode(), encode(response).headers).data.usage == Usage(
        prompt_tokens=MAX_COUNT, completion_tokens=MAX_COUNT
    )
    request = events.event("v2/request")
    seeds = json.loads(encode(request).value) | {
        "parameters": {"seed": -(2**63), "temperature": 1e308, "top": 2**63 - 1}
    }
    parameters = decode(json.dumps(seeds).encode(), encode(request).headers).data.parameters
    assert parameters == {"seed": -(2**63), "temperature": 1e308, "top": 2**63 - 1}
