"""All of the ledger's files together: a batch of the log goes to the file of its partition.

Not thread-safe; the service uses it from one worker thread, so that SQLite never holds up the event loop.
"""

from collections.abc import Iterable
from itertools import count

from stream.ledger.coverage import Coverage, SourceTime, coverage_of, missing_of, source_times
from stream.ledger.decisions import Decisions
from stream.ledger.files import LedgerFiles
from stream.ledger.gaps import gaps_of
from stream.ledger.hearing import hearing_of, unanswered_of
from stream.ledger.observe import Observation, log_time, observe, read_to
from stream.ledger.records import LogRecord, TopicPartitionKey, next_offsets
from stream.ledger.shard import Shard
from stream.ledger.silences import silence_id
from stream.settings import LedgerSettings
from stream.wire import TopicNames

__all__ = ["Book", "topics_read"]


def topics_read(names: TopicNames, *, partitions: int, stream_partitions: int) -> dict[str, int]:
    """Return {topic: partitions} of everything that the ledger reads."""
    by_event = dict.fromkeys((names.inference, names.verdicts, names.feedback), partitions)
    return by_event | dict.fromkeys((names.alerts, names.retraining), stream_partitions)


class Book:
    """The open ledger.

    Parameters
    ----------
    files
        Where it lies.
    names, partitions
        Topic names, and P of design.md.
    retention_seconds
        Rows older than the newest by more are dropped.
    """

    def __init__(self, files: LedgerFiles, names: TopicNames, partitions: int, retention_seconds: float) -> None:
        files.directory.mkdir(parents=True, exist_ok=True)
        self._decided = {names.alerts, names.retraining}
        self.decisions = Decisions(files.decisions)
        self.shards = {
            index: Shard(files.shard(index), retention_seconds=retention_seconds) for index in range(partitions)
        }

    def close(self) -> None:
        """Close every file."""
        self.decisions.close()
        for shard in self.shards.values():
            shard.close()

    def offsets(self) -> dict[TopicPartitionKey, int]:
        """Return {(topic, partition): offset to read next} over all files."""
        found = next_offsets(self.decisions.database)
        for shard in self.shards.values():
            found |= next_offsets(shard.database)
        return found

    def apply(self, batches: Iterable[Iterable[LogRecord]]) -> int:
        """Take batches, each of one partition; one transaction a file. Return how many records were new."""
        grouped: dict[int, list[LogRecord]] = {}
        decided: list[LogRecord] = []
        for batch in batches:
            for record in batch:
                target = decided if record.topic in self._decided else grouped.setdefault(record.partition, [])
                target.append(record)
        taken = self.decisions.apply(decided) if decided else 0
        return taken + sum(self.shards[index].apply(records) for index, records in grouped.items())

    def log_time(self) -> float:
        """Return the newest time that any source has told."""
        return log_time(self._sources())

    def observe(self, settings: LedgerSettings) -> Observation:
        """Return everything that the ledger's own alerts are decided from."""
        databases = [shard.database for shard in self.shards.values()]
        sources = self._sources()
        missing, heard = missing_of(databases), hearing_of(databases)
        unanswered = unanswered_of(databases, heard, missing.detectors)
        return observe(
            sources,
            missing,
            gaps=gaps_of(
                databases,
                since=self.decisions.resolved_until("gap"),
                until=read_to(sources),
                resolve_seconds=settings.gap_resolve_seconds,
            ),
            heard=heard,
            unanswered=unanswered,
            told={one.detector: self._told(one.detector, one.last_answer) for one in unanswered},
        )

    def _told(self, detector: str, last_answer: float | None) -> int:
        """Return how many silences of `detector` since its last answer are over: it was not owed for long, then it was again."""
        return next(n for n in count() if not self.decisions.has_resolved(silence_id(detector, last_answer, n)))

    def coverage(self) -> Coverage:
        """Return the coverage over all partitions."""
        return coverage_of(shard.database for shard in self.shards.values())

    def expire(self) -> None:
        """Drop what the log no longer keeps."""
        for shard in self.shards.values():
            shard.expire()

    def _sources(self) -> dict[int, list[SourceTime]]:
        return {index: source_times(shard.database) for index, shard in self.shards.items()}
