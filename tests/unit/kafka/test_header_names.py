"""Header names that are not valid UTF-8: Kafka accepts them, and a consumer reads the record and continues."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.legacy_records import _LegacyRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

from stream.kafka import clients  # the import replaces the classes of the fetcher

GZIP = 1
UNREADABLE = "\N{REPLACEMENT CHARACTER}"


class BytesName(str):
    """A header name that is encoded as Latin-1; a producer in Python does not send such names."""

    __slots__ = ()

    def encode(self, encoding="utf-8", errors="strict"):
        return super().encode("latin-1", errors)


def batch(first_offset, *names, codec=0):
    """Return a batch of one record for each name, as Kafka stores it."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, 1 << 20)
    for delta, name in enumerate(names):
        builder.append(delta, 0, b"key", b"value" * 50, [(BytesName(name), b"v"), ("ce_id", None)])
    built = bytes(builder.build())
    return first_offset.to_bytes(8) + built[8:]


def legacy_batch(first_offset):
    builder = _LegacyRecordBatchBuilderPy(1, 0, 1 << 20)
    builder.append(0, 0, b"key", b"old")
    return first_offset.to_bytes(8) + bytes(builder.build())[8:]


def read(data, position=0):
    """Return the offset and the name of the first header of each record that a consumer at `position` reads."""
    assert clients.consumer_for
    deserializers, check_crcs, isolation_level = (None, None), True, 0
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(data), [], position, *deserializers, check_crcs, isolation_level
    )
    return [(record.offset, record.headers[0][0] if record.headers else None) for record in records]


@pytest.mark.parametrize("codec", [0, GZIP])
def test_a_header_name_that_is_not_utf_8_stops_no_consumer(codec):
    before = batch(0, "a", "e")
    after = (
        batch(2, "b", "\xffx", "c", codec=codec)
        + legacy_batch(5)
        + batch(6, "d", "\xff", codec=codec)
        + batch(8, "cut")[:-1]
    )
    names = [(2, "b"), (3, f"{UNREADABLE}x"), (4, "c"), (5, None), (6, "d"), (7, UNREADABLE)]
    assert read(before + after) == [(0, "a"), (1, "e"), *names]
    assert read(after, position=4) == names[2:]
