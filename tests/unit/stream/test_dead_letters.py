"""Dead letters: the unchanged record, and headers without text."""

from types import SimpleNamespace

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from prometheus_client import CollectorRegistry

from stream.dead_letters import HEADER_PREFIX, DeadLetters, dead_letter_headers
from stream.wire import SchemaError


def message(**changes):
    fields = {
        "topic": "weir.inference",
        "partition": 3,
        "offset": 42,
        "key": b"k",
        "value": b"raw",
        "headers": (("ce_id", b"x"), ("ce_id", b"y")),
    }
    return SimpleNamespace(**fields | changes)


class Producer:
    """A producer that stores the records; it rejects a value of more than `limit` bytes."""

    def __init__(self, limit=10_000):
        self.limit = limit
        self.kept = []

    async def produce(self, topic, *, key, value, headers, partition):
        if len(value) > self.limit:
            raise MessageSizeTooLargeError(f"{len(value)} bytes")
        self.kept.append((topic, key, value, headers, partition))


async def test_key_value_and_headers_are_kept(caplog):
    producer, registry = Producer(), CollectorRegistry()
    letters = DeadLetters(producer, "weir.inference.dlq", "score", registry=registry)
    error = SchemaError("weir.verdict.v1: Expected `float` - at `$.score`")
    await letters.send(message(), disposition="schema", error=error, place="stream.wire.codec")
    assert "schema, SchemaError: weir.verdict.v1: Expected `float`" in caplog.text
    ((topic, key, value, headers, partition),) = producer.kept
    assert (topic, key, value, partition) == ("weir.inference.dlq", b"k", b"raw", 0)
    assert headers[:2] == (("ce_id", b"x"), ("ce_id", b"y"))
    assert dict(headers[2:]) == {
        "__weir.errors.topic": b"weir.inference",
        "__weir.errors.partition": b"3",
        "__weir.errors.offset": b"42",
        "__weir.errors.stage": b"score",
        "__weir.errors.class.name": b"stream.wire.codec",
        "__weir.errors.exception.class.name": b"SchemaError",
        "__weir.errors.reason": b"weir.verdict.v1: Expected `float` - at `$.score`",
        "__weir.errors.disposition": b"schema",
        "__weir.errors.attempt": b"1",
    }
    assert registry.get_sample_value("weir_dead_letters_total", {"stage": "score", "disposition": "schema"}) == 1


@pytest.mark.parametrize(("before", "after"), [(b"1", b"2"), (b"x", b"1"), (b"9" * 5000, b"1")])
def test_a_retried_dead_letter_counts_its_attempts(before, after):
    again = message(headers=(("ce_id", b"x"), (f"{HEADER_PREFIX}attempt", before), (f"{HEADER_PREFIX}stage", b"old")))
    headers = dead_letter_headers(again, stage="score", place="p", error="E", disposition="bug")
    assert [value for name, value in headers if name == f"{HEADER_PREFIX}attempt"] == [after]
    assert [value for name, value in headers if name == f"{HEADER_PREFIX}stage"] == [b"score"]


async def test_a_record_that_is_too_large_is_replaced_by_a_letter_with_its_offset():
    producer = Producer(limit=100)
    letters = DeadLetters(producer, "dlq", "score", registry=CollectorRegistry())
    await letters.send(message(value=b"x" * 200), disposition="decode", error="DecodeError")
    ((_, key, value, headers, _),) = producer.kept
    assert (key, value) == (None, b"")
    assert dict(headers)["__weir.errors.disposition"] == b"oversize"
    assert dict(headers)["__weir.errors.offset"] == b"42"
    assert "ce_id" not in dict(headers)


async def test_a_record_without_key_value_and_headers_can_be_kept():
    producer = Producer()
    letters = DeadLetters(producer, "dlq", "score", registry=CollectorRegistry())
    await letters.send(message(key=None, value=None, headers=()), disposition="decode", error="DecodeError")
    assert producer.kept[0][1:3] == (None, b"")
