"""All files of the ledger; each batch of log records goes to the file of its partition.

The store is not thread-safe. The service calls it on one worker thread, so that SQLite never blocks the event loop.
"""

from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from stream.ledger.accuracy import Accuracy, accuracy_of
from stream.ledger.alerts.fallen_accuracy import decide_accuracy
from stream.ledger.alerts.gaps import next_gap_episode
from stream.ledger.alerts.inactive_detectors import inactive_alert_id
from stream.ledger.alerts.ledger_alerts import decide
from stream.ledger.alerts.observations import Observation
from stream.ledger.coverage import Coverage, MissingVerdicts, coverage_of, missing_verdicts
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions, OutgoingAlert
from stream.ledger.detector_health import Unanswered, last_answers, unanswered_pairs
from stream.ledger.ledger_file import LogRecord, Partition, Unstored
from stream.ledger.queries.judged_answers import judged_answers
from stream.ledger.queries.reviews import RejectedFeedback, rejected_feedback
from stream.ledger.shard import Shard
from stream.ledger.sources import SourceTime, full_spools, read_watermark, source_times, verdict_lag, watermark
from stream.ledger.time_share import TimeShare
from stream.runbook import ACCURACY
from stream.settings import LedgerSettings, TenantSettings
from stream.wire import OWN_TENANT, AlertRecord, TopicNames, stream_key
from stream.wire.ids import alert_id

_UNJOINED_SECONDS = 10.0
#: The thread that reads all labels or all missing verdicts also applies records: 1.5 s for 100,000 labels after each new label, and
#: 2 s for 600,000 missing verdicts at each decision.
_SCAN_SHARE = 0.05
#: The lag must be above its bound in so many consecutive decisions, about one per second, before its alert opens: if a paused gateway
#: continues, its next tick advances event time by the whole pause, and score forwards this tick a moment later.
_LAG_DECISIONS = 5
#: Adds a span to a new alert, linked to the trace contexts of its evidence.
SpanFactory = Callable[[AlertRecord, tuple[str, ...]], OutgoingAlert]


def topics_read(names: TopicNames, *, partitions: int, stream_partitions: int) -> dict[str, int]:
    """Return {topic: partitions} of the topics that the ledger reads."""
    by_event = dict.fromkeys((names.inference, names.verdicts, names.feedback), partitions)
    return by_event | dict.fromkeys((names.findings, names.alerts, names.retraining), stream_partitions)


class _Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The state when the accuracy was last computed; -1: never, so that a new process computes it.

    `floors` are the event times before which the labels and answers of each partition were deleted.
    """

    judgments: int = -1
    floors: tuple[float, ...] = ()
    log_time: float = 0.0
    unjoined: int = 0


class LedgerStore:
    """The open ledger, with one file per inference partition.

    The accuracy is computed, and the missing verdicts are counted, each for at most `scan_share` of the time; the other parameters are
    those of :class:`LedgerFile`.
    """

    def __init__(  # noqa: PLR0913 - the settings of the files and of the tenants
        self,
        files: LedgerFiles,
        names: TopicNames,
        partitions: int,
        retention_seconds: float,
        *,
        unstored: Unstored = lambda: None,
        tenants: Callable[[str], TenantSettings] = lambda _tenant: TenantSettings(),
        scan_share: float = _SCAN_SHARE,
    ) -> None:
        files.directory.mkdir(parents=True, exist_ok=True)
        self._decision_topics = {names.findings, names.alerts, names.retraining}
        self.decisions = Decisions(files.decisions, retention_seconds=retention_seconds, unstored=unstored)
        self.shards = {
            index: Shard(files.shard(index), retention_seconds=retention_seconds, unstored=unstored)
            for index in range(partitions)
        }
        self._databases = [shard.database for shard in self.shards.values()]
        self._tenants = tenants
        self._accuracy: dict[tuple[str, str], Accuracy] = {}
        self._judged = _Judged()
        self._accuracy_time = TimeShare(scan_share)
        self._missing = MissingVerdicts()
        self._last_answers: dict[str, float | None] = {}
        self._unanswered: tuple[Unanswered, ...] = ()
        self._missing_time = TimeShare(scan_share)
        self._lagging = 0

    def close(self) -> None:
        """Close every file."""
        for file in (self.decisions, *self.shards.values()):
            file.close()

    def offsets(self) -> dict[Partition, int]:
        """Return {(topic, partition): the next offset to read} over all files."""
        offsets = self.decisions.offsets()
        for shard in self.shards.values():
            offsets |= shard.offsets()
        return offsets

    def newest_event(self, topic: str, partition: int) -> tuple[str, int] | None:
        """Return the result of :meth:`Shard.newest_event` for a partition."""
        return self.shards[partition].newest_event(topic)

    def apply(self, batches: Iterable[Iterable[LogRecord]]) -> int:
        """Store batches, in one transaction per file; return the number of new records."""
        by_partition: dict[int, list[LogRecord]] = {}
        decided: list[LogRecord] = []
        for record in (record for batch in batches for record in batch):
            is_decision = record.topic in self._decision_topics
            target = decided if is_decision else by_partition.setdefault(record.partition, [])
            target.append(record)
        taken = self.decisions.apply(decided) if decided else 0
        return taken + sum(self.shards[index].apply(records) for index, records in by_partition.items())

    def log_time(self) -> float:
        """Return the newest tick time of any active source (:func:`stream.ledger.sources.watermark`)."""
        return watermark(self._sources())

    def observe(self, settings: LedgerSettings) -> Observation:
        """Return the input from which the ledger decides its own alerts.

        If to count the missing verdicts needs more than a share of the time, their numbers are older.
        """
        sources = self._sources()
        self._missing_time.run(self._count_missing)
        lag_seconds, lag_identity = verdict_lag(sources)
        gaps = next_gap_episode(
            self._databases,
            since=self.decisions.resolved_until("gap"),
            until=read_watermark(sources),
            resolve_seconds=settings.gap_resolve_seconds,
        )
        return Observation(
            log_time=watermark(sources),
            missing=self._missing,
            lag_seconds=lag_seconds,
            lag_identity=lag_identity,
            gaps=gaps,
            last_answers=self._last_answers,
            unanswered=self._unanswered,
            resolved={entry.detector: self._resolved(entry.detector, entry.last_answer) for entry in self._unanswered},
            spools=full_spools(sources),
        )

    def _count_missing(self) -> None:
        self._missing, self._last_answers = missing_verdicts(self._databases), last_answers(self._databases)
        self._unanswered = unanswered_pairs(self._databases, self._last_answers, self._missing.detectors)

    def decide(self, settings: LedgerSettings, with_span: SpanFactory) -> Observation:
        """Store new states of the ledger's own alerts, for publication; call this when the log was read to its end."""
        observation = self.observe(settings)
        firing = {alert.record.alert_id: alert for alert in self.decisions.own_firing()}
        by_subject: dict[bool, list[AlertRecord]] = {True: [], False: []}
        for alert in firing.values():
            by_subject[alert.record.tenant == OWN_TENANT].append(alert.record)
        records = decide(by_subject[True], self._with_steady_lag(observation, by_subject[True], settings), settings)
        records += decide_accuracy(by_subject[False], self.accuracy(), observation.log_time, self._next_accuracy_alert)
        alerts = []
        for record in records:
            if record.alert_id in firing:
                alerts.append(OutgoingAlert(record=record, traceparent=firing[record.alert_id].traceparent))
            elif not self.decisions.has_resolved(record.alert_id):
                evidence = observation.missing.traceparents if record.detector == "coverage" else ()
                alerts.append(with_span(record, evidence))
        if alerts:
            self.decisions.decide(alerts)
        return observation

    def _with_steady_lag(
        self, observation: Observation, firing: Iterable[AlertRecord], settings: LedgerSettings
    ) -> Observation:
        """Return `observation` without its lag if no alert about the lag fires and the lag has just risen above its bound."""
        self._lagging = self._lagging + 1 if observation.lag_seconds > settings.lag_seconds else 0
        if self._lagging >= _LAG_DECISIONS or any(alert.detector == "lag" for alert in firing):
            return observation
        return msgspec.structs.replace(observation, lag_seconds=0.0)

    def accuracy(self) -> dict[tuple[str, str], Accuracy]:
        """Return the accuracy of the labelled answers by (tenant, model).

        The accuracy is computed again after new labels, and after labels or answers expired. While labels have no answer,
        it is also computed every 10 s of event time. If that needs more than a share of the time, the result is older.
        """
        log_time, judgments = self.log_time(), sum(shard.judgments for shard in self.shards.values())
        floors = tuple(shard.floor for shard in self.shards.values())
        waited = self._judged.unjoined and abs(log_time - self._judged.log_time) >= _UNJOINED_SECONDS
        if waited or (judgments, floors) != (self._judged.judgments, self._judged.floors):
            self._accuracy_time.run(lambda: self._judge(_Judged(judgments=judgments, floors=floors, log_time=log_time)))
        return self._accuracy

    def _judge(self, state: _Judged) -> None:
        """Compute the accuracy from all labels; `state` is the present state."""
        found = judged_answers(self._databases)
        self._accuracy = {
            stream: accuracy_of(answers, self._tenants(stream[0]).accuracy) for stream, answers in found.streams.items()
        }
        self._judged = msgspec.structs.replace(state, unjoined=sum(found.unjoined.values()))

    def _next_accuracy_alert(self, tenant: str, model: str) -> str:
        """Return the id of the next accuracy alert of a model: a hash that contains how many have resolved."""
        ids = (alert_id(stream_key(tenant, model, "output"), ACCURACY, str(number)) for number in count())
        return next(name for name in ids if not self.decisions.has_resolved(name))

    def _resolved(self, detector: str, last_answer: float | None) -> int:
        """Return how many alerts about the inactive `detector` have resolved since its last answer; this number is part of the next alert's id.

        An alert resolves without an answer if the detector had no verdict to return for an hour.
        """
        return next(n for n in count() if not self.decisions.has_resolved(inactive_alert_id(detector, last_answer, n)))

    def coverage(self) -> Coverage:
        """Return the coverage over all partitions."""
        return coverage_of(self._databases)

    def rejected_feedback(self) -> RejectedFeedback:
        """Return the numbers of feedback records that name an alert but are not a review."""
        return rejected_feedback(self.decisions.database, self._databases)

    def expire(self) -> bool:
        """Delete the oldest minute of one file that is past the retention.

        If no file has one, delete the rows that exceed a limit on their number, and return False.
        """
        if any(shard.expire() for shard in self.shards.values()):
            return True
        self.decisions.expire()
        return False

    def _sources(self) -> dict[int, list[SourceTime]]:
        return {index: source_times(shard.database) for index, shard in self.shards.items()}
