"""The archiver, if Kafka no longer has the records that it was about to read."""

import pytest
from aiokafka.structs import TopicPartition

from stream.archive import archiver
from stream.archive.segments import Archive
from stream.errors import ArchiveFailed, LogExpired

PLACE = TopicPartition("t", 0)


class Begins:
    """A consumer that returns the given first offsets of a partition, one per call."""

    def __init__(self, *offsets):
        self._offsets = list(offsets)

    async def beginning_offsets(self, _places):
        return {PLACE: self._offsets.pop(0)}


class Expired:
    """A RangeReader whose offset is outside the topic."""

    def __init__(self, *_arguments):
        pass

    async def next(self, *_arguments):
        raise LogExpired("gone")


async def copied(tmp_path, monkeypatch, *begins):
    monkeypatch.setattr(archiver, "RangeReader", Expired)
    return [one async for one in archiver._copied(Begins(*begins), Archive(str(tmp_path)), PLACE, 100, 10)]


async def test_a_topic_that_was_created_again_ends_the_run(tmp_path, monkeypatch):
    with pytest.raises(ArchiveFailed, match=r"offset 7 of t/0 cannot be read, .* created again meanwhile\? Run"):
        await copied(tmp_path, monkeypatch, 7, 7)


async def test_all_records_that_expire_during_the_run_are_logged(tmp_path, monkeypatch, caplog):
    assert await copied(tmp_path, monkeypatch, 0, 50, 80, 100) == []
    assert [one.getMessage().partition(";")[0] for one in caplog.records] == [
        f"Kafka deleted the offsets {lost} of t-0 before they were archived" for lost in ("0 to 49", "50 to 79")
    ]
