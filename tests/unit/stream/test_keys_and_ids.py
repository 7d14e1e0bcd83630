import os
import re

from aiokafka.partitioner import murmur2 as reference

from stream.wire import TraceParent, format_time, parse_time, partition_for
from stream.wire.ids import alert_id, bucket_finding_id, event_finding_id, retraining_id, verdict_id
from stream.wire.keys import murmur2


def test_the_partitioner_is_that_of_kafka():
    for length in range(200):
        data = os.urandom(length)
        assert murmur2(data) == reference(data) & 0xFFFFFFFF
        assert partition_for(data, 8) == (reference(data) & 0x7FFFFFFF) % 8


def test_ids_depend_only_on_identity():
    assert verdict_id("e", "pii", "1") == verdict_id("e", "pii", "1")
    made = {
        verdict_id("e", "pii", "1"),
        verdict_id("e", "pii", "2"),
        verdict_id("e\x1fp", "ii", "1"),
        event_finding_id("e", "pii", "1"),
        bucket_finding_id("s", "drift", 1),
        bucket_finding_id("s", "drift", 11),
        alert_id("s", "drift", "fd_1"),
    }
    assert len(made) == 7
    assert all(re.fullmatch(r"[a-z]{2}_[0-9a-f]{32}", name) for name in made)


def test_a_retraining_id_does_not_depend_on_the_order_of_alerts():
    assert retraining_id("t", "m", ("a", "b"), "requested") == retraining_id("t", "m", ("b", "a"), "requested")


def test_valid_traceparents_are_parsed_and_invalid_ones_are_not():
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert TraceParent.parse(header).header() == header
    assert TraceParent.parse(f"01{header[2:]}-more").header() == header
    zero = header.replace("b7ad6b7169203331", "0" * 16)
    for bad in ("", None, header.upper(), "ff" + header[2:], zero, header[:-3], f"{header}-more"):
        assert TraceParent.parse(bad) is None


def test_times_keep_microseconds():
    assert format_time(1_700_000_000.123456) == "2023-11-14T22:13:20.123456Z"
    assert parse_time("2023-11-14T23:13:20.123456+01:00") == 1_700_000_000.123456
