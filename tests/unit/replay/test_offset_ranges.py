"""The times between which a replay reads each topic, and the part of a log that still exists."""

from types import SimpleNamespace

import msgspec
import pytest
from support.replay_log import NAMES

from stream.replay.offset_ranges import offset_ranges, retained_log
from stream.replay.plan import ReplayRequest


@pytest.mark.parametrize(
    ("over_streams", "recorded", "expected"),
    [
        (False, True, [(NAMES.inference, 900.0, 2000.0), (NAMES.verdicts, 840.0, 2060.0)]),
        (False, False, [(NAMES.inference, 900.0, 2000.0)]),
        (True, True, [(NAMES.signals, 900.0, 2060.0), (NAMES.findings, 840.0, 2060.0)]),
    ],
    ids=["texts", "two versions without recorded results", "streams"],
)
async def test_results_are_read_from_a_minute_before_to_a_minute_after_their_events(
    monkeypatch, over_streams, recorded, expected
):
    read = []

    async def archived_range(_consumer, topic, _partitions, since, until, _archive):
        read.append((topic, since, until))
        return topic

    monkeypatch.setattr("stream.replay.offset_ranges.archived_range", archived_range)
    of_log, of_run = (SimpleNamespace(recorded=one, over_streams=over_streams) for one in (recorded, False))
    request = ReplayRequest(detector=of_run, against=of_log, since=1000.0, until=2000.0, warm_up_seconds=100.0)
    counts = dict.fromkeys((NAMES.inference, NAMES.verdicts, NAMES.signals, NAMES.findings), 1)
    assert await offset_ranges(None, NAMES, counts, request, now=2000.1) == tuple(topic for topic, *_ in expected)
    assert read == expected
    read.clear()
    whole = msgspec.structs.replace(request, warm_up_seconds=None)
    await offset_ranges(None, NAMES, counts, whole, now=2000.0)
    assert read == [(topic, None, None) for topic, *_ in expected]


@pytest.mark.parametrize(
    ("first", "times", "expired", "since"),
    [
        ([0, 5, 7], [100, 200, 150], (1, 2), 200.0),
        ([0, 0, 0], [300, 200, None], (), 200.0),
        ([0, 5, 0], [100, None, 200], (1,), 100.0),
        ([0, 0, 0], [None, None, None], (), None),
    ],
)
async def test_a_log_is_complete_from_the_newest_first_record_of_a_partition_with_deleted_records(
    first, times, expired, since
):
    class Consumer:
        async def beginning_offsets(self, partitions):
            return dict(zip(partitions, first, strict=True))

        async def offsets_for_times(self, partitions):
            found = [time and SimpleNamespace(timestamp=time * 1000) for time in times]
            return dict(zip(partitions, found, strict=True))

    log = await retained_log(Consumer(), "t", 3)
    assert (log.expired, log.since) == (expired, since)
