"""All of the ledger's files together: a batch of the log goes to the file of its partition.

Not thread-safe; the service uses it from one worker thread, so that SQLite never holds up the event loop.
"""

from collections.abc import Callable, Iterable
from itertools import count

from stream.ledger.alerts.gaps import gaps_of
from stream.ledger.alerts.inactive_detectors import silence_id
from stream.ledger.alerts.ledger_alerts import decide
from stream.ledger.alerts.observations import Observation, log_time, observe, read_to
from stream.ledger.coverage import Coverage, SourceTime, coverage_of, missing_of, source_times
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions, OutgoingAlert
from stream.ledger.detector_health import hearing_of, unanswered_of
from stream.ledger.queries.reviews import TurnedAway, turned_away
from stream.ledger.record_batches import LogRecord, TopicPartitionKey, Unstored, next_offsets
from stream.ledger.shard import Shard
from stream.settings import LedgerSettings
from stream.wire import AlertRecord, TopicNames

__all__ = ["LedgerStore", "Opener", "topics_read"]

#: Makes a new alert ready to be sent: (record, trace contexts of its evidence).
Opener = Callable[[AlertRecord, tuple[str, ...]], OutgoingAlert]


def topics_read(names: TopicNames, *, partitions: int, stream_partitions: int) -> dict[str, int]:
    """Return {topic: partitions} of everything that the ledger reads."""
    by_event = dict.fromkeys((names.inference, names.verdicts, names.feedback), partitions)
    return by_event | dict.fromkeys((names.findings, names.alerts, names.retraining), stream_partitions)


class LedgerStore:
    """The open ledger.

    Parameters
    ----------
    files
        Where it lies.
    names, partitions
        Topic names, and P of design.md.
    retention_seconds
        Rows older than the newest by more are dropped.
    unstored
        Called once for each record that cannot be stored.
    """

    def __init__(
        self,
        files: LedgerFiles,
        names: TopicNames,
        partitions: int,
        retention_seconds: float,
        *,
        unstored: Unstored = lambda: None,
    ) -> None:
        files.directory.mkdir(parents=True, exist_ok=True)
        self._decided = {names.findings, names.alerts, names.retraining}
        self.decisions = Decisions(files.decisions, retention_seconds=retention_seconds, unstored=unstored)
        self.shards = {
            index: Shard(files.shard(index), retention_seconds=retention_seconds, unstored=unstored)
            for index in range(partitions)
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

    def decide(self, settings: LedgerSettings, opened: Opener) -> Observation:
        """Open, go on with and resolve the ledger's own alerts, into the outbox; call it once everything in the log was read.

        Parameters
        ----------
        settings
            The bounds.
        opened
            Makes the span of a new alert, linked to the trace contexts that it is given.
        """
        seen = self.observe(settings)
        firing = {item.record.alert_id: item for item in self.decisions.own_firing()}
        outgoing = []
        for record in decide([item.record for item in firing.values()], seen, settings):
            if record.alert_id in firing:
                outgoing.append(OutgoingAlert(record=record, traceparent=firing[record.alert_id].traceparent))
            elif not self.decisions.has_resolved(record.alert_id):
                outgoing.append(opened(record, seen.missing.traceparents if record.detector == "coverage" else ()))
        if outgoing:
            self.decisions.decide(outgoing)
        return seen

    def _told(self, detector: str, last_answer: float | None) -> int:
        """Return how many silences of `detector` since its last answer are over: it was not owed for long, then it was again."""
        return next(n for n in count() if not self.decisions.has_resolved(silence_id(detector, last_answer, n)))

    def coverage(self) -> Coverage:
        """Return the coverage over all partitions."""
        return coverage_of(shard.database for shard in self.shards.values())

    def turned_away(self) -> TurnedAway:
        """Return how much feedback names an alert and is no review of it."""
        return turned_away(self.decisions.database, (shard.database for shard in self.shards.values()))

    def expire(self) -> None:
        """Drop what the log no longer keeps."""
        self.decisions.expire()
        for shard in self.shards.values():
            shard.expire()

    def _sources(self) -> dict[int, list[SourceTime]]:
        return {index: source_times(shard.database) for index, shard in self.shards.items()}
