"""Stores alerts, windows, silences, retraining events, and an outbox: the ledger's own alerts that wait for Kafka.

The ledger stores each alert with its id, publishes it, and deletes it from the outbox when the broker has acknowledged
it. If the ledger dies before the deletion, it publishes the same record again under the same id.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from stream.ledger.ledger_file import LedgerFile, LogRecord, Unstored
from stream.ledger.schema import ALERT, JSON, RETRAINING, open_decisions, transaction
from stream.ledger.window_history import expire_windows, store_window
from stream.runbook import ACCURACY, DETECTOR_PREFIX, SILENCE
from stream.wire import OWN_TENANT, AlertRecord, Event, FindingRecord, RetrainingRecord, SilenceRecord

#: Detector names of the alerts that only the ledger opens and resolves: about a model's accuracy, and about Weir itself.
OWN_DETECTORS = (ACCURACY, "coverage", "gap", "lag", "spool")
#: Number of newest alert records that are kept.
_CHANGES = 200_000
#: Number of newest suppressions that are kept: nearly every alert has one.
_SUPPRESSED = 200_000


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the ledger itself, written once per second, at clock time `wall_time`.

    `log_time` is the newest tick time of any source, 0 before the first tick; `advanced_at` is the clock time at which
    `log_time` last changed. `silence_seconds` is the setting of this name. `caught_up` is whether the ledger had
    read the log to its end at the last probe, `lag` is {topic: number of records that the ledger has not read}.
    """

    wall_time: float
    log_time: float = 0.0
    advanced_at: float = 0.0
    silence_seconds: float = 30.0
    caught_up: bool = False
    lag: dict[str, int] = {}

    @property
    def inactive(self) -> bool:
        """Whether every source is inactive. This check uses the clock, because event time does not advance without ticks."""
        return self.wall_time - self.advanced_at > self.silence_seconds

    @property
    def ahead(self) -> bool:
        """Whether event time is ahead of the clock: the clock of a source is wrong."""
        return self.log_time - self.wall_time > self.silence_seconds


class OutgoingAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ledger's own alerts, with its trace context."""

    record: AlertRecord
    traceparent: str = ""


def is_own(alert: AlertRecord) -> bool:
    """Return whether the ledger, not another stage, opened `alert`; watch opens the alerts about inactive sources."""
    if alert.detector == ACCURACY:
        return True
    if alert.tenant != OWN_TENANT:
        return False
    return alert.detector in OWN_DETECTORS or (alert.detector == SILENCE and alert.feature.startswith(DETECTOR_PREFIX))


class Decisions(LedgerFile):
    """The file of alerts, windows, silences and retraining events; `path` can be ``:memory:``."""

    tombstones = True

    def __init__(
        self, path: Path | str, *, retention_seconds: float = float("inf"), unstored: Unstored = lambda: None
    ) -> None:
        super().__init__(open_decisions(path), retention_seconds=retention_seconds, unstored=unstored)
        self._handlers = {
            AlertRecord: self._alert,
            SilenceRecord: self._silence,
            RetrainingRecord: self._retraining,
            FindingRecord: self._finding,
        }

    def _alert(self, _record: LogRecord, event: Event, data: AlertRecord) -> None:
        self._store_alert(data, event.traceparent)

    def _store_alert(self, data: AlertRecord, traceparent: str) -> None:
        what = (data.alert_id, data.revision, data.state, data.detector, data.tenant, data.model, data.side)
        row = (*what, data.opened_at, data.resolved_at, data.at, traceparent, JSON.encode(data).decode())
        self.database.execute(
            "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " revision = excluded.revision, state = excluded.state, resolved_at = excluded.resolved_at,"
            " at = excluded.at, traceparent = excluded.traceparent, record = excluded.record, severity = excluded.severity"
            " WHERE excluded.revision >= revision",
            (*row, data.severity),
        )
        change = (data.alert_id, data.revision, data.state, data.severity, data.at)
        self.database.execute(
            "INSERT OR IGNORE INTO alert_changes"
            " (alert_id, revision, state, severity, at, statistic, bound, score, evidence_total)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*change, data.statistic, data.limit, data.score, data.evidence_total),
        )
        links = [(request_id, data.alert_id) for request_id in data.evidence]
        self.database.executemany("INSERT OR IGNORE INTO alert_evidence VALUES (?, ?)", links)

    def _silence(self, _record: LogRecord, _event: Event, data: SilenceRecord) -> None:
        self.database.execute(
            "INSERT INTO silences VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
            " at = excluded.at, record = excluded.record WHERE excluded.at >= at",
            (data.silence_id, data.at, JSON.encode(data).decode()),
        )

    def _retraining(self, record: LogRecord, _event: Event, data: RetrainingRecord) -> None:
        self.database.execute(  # a renewed lease has the same time
            "INSERT INTO retraining VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET offset = excluded.offset,"
            " at = max(at, excluded.at), record = iif(excluded.at >= at, excluded.record, record)",
            (data.retraining_id, data.state, data.at, JSON.encode(data).decode(), record.offset),
        )
        links = [(alert_id, data.retraining_id) for alert_id in data.alert_ids]
        self.database.executemany("INSERT OR IGNORE INTO retraining_alerts VALUES (?, ?)", links)

    def _finding(self, _record: LogRecord, _event: Event, data: FindingRecord) -> None:
        store_window(self.database, data)

    def expire(self) -> None:
        """Delete windows older than the retention, and the oldest windows, alert changes and suppressions if there are too many."""
        with transaction(self.database):
            expire_windows(self.database, self._retention_seconds)
            self.database.execute(
                "DELETE FROM alert_changes WHERE seq <= (SELECT max(seq) FROM alert_changes) - ?", (_CHANGES,)
            )
            self._expire_suppressions()

    def _expire_suppressions(self) -> None:
        deleted = self.database.execute(
            "DELETE FROM retraining WHERE state = 'suppressed' AND at <="
            " (SELECT at FROM retraining WHERE state = 'suppressed' ORDER BY at DESC LIMIT 1 OFFSET ?) RETURNING record",
            (_SUPPRESSED,),
        )
        records = [RETRAINING.decode(record) for (record,) in deleted.fetchall()]
        links = [(alert_id, one.retraining_id) for one in records for alert_id in one.alert_ids]
        self.database.executemany("DELETE FROM retraining_alerts WHERE alert_id = ? AND retraining_id = ?", links)

    # -- the ledger's own alerts

    def own_firing(self) -> list[OutgoingAlert]:
        """Return the ledger's own alerts that fire."""
        alerts = self._outgoing("alerts WHERE (tenant = ? OR detector = ?) AND state = 'firing'", OWN_TENANT, ACCURACY)
        return [alert for alert in alerts if is_own(alert.record)]

    def resolved_until(self, detector: str) -> float:
        """Return the last time at which an own alert of `detector` resolved, or minus infinity if none has resolved."""
        query = "SELECT max(resolved_at) FROM alerts WHERE tenant = ? AND detector = ?"
        newest = self.database.execute(query, (OWN_TENANT, detector)).fetchone()[0]
        return float("-inf") if newest is None else float(newest)

    def has_resolved(self, alert_id: str) -> bool:
        """Return whether the alert with this id has resolved; a resolved alert does not open again."""
        query = "SELECT 1 FROM alerts WHERE alert_id = ? AND state = 'resolved'"
        return self.database.execute(query, (alert_id,)).fetchone() is not None

    def decide(self, alerts: Iterable[OutgoingAlert]) -> None:
        """Store the ledger's own alerts, and add them to the outbox, from which they are published."""
        with transaction(self.database):
            for alert in alerts:
                record = alert.record
                row = (record.alert_id, record.revision, alert.traceparent, JSON.encode(record).decode())
                self.database.execute("INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, ?)", row)
                self._store_alert(record, alert.traceparent)

    def outbox(self) -> list[OutgoingAlert]:
        """Return the alerts that the broker has not acknowledged, oldest first."""
        alerts = self._outgoing("outbox")
        return sorted(alerts, key=lambda alert: (alert.record.at, alert.record.alert_id, alert.record.revision))

    def _outgoing(self, table: str, *parameters: str) -> list[OutgoingAlert]:
        rows = self.database.execute(f"SELECT record, traceparent FROM {table}", parameters)  # noqa: S608 - constants
        return [OutgoingAlert(record=ALERT.decode(record), traceparent=parent) for record, parent in rows]

    def acknowledged(self, record: AlertRecord) -> None:
        """Delete `record` from the outbox."""
        self.database.execute(
            "DELETE FROM outbox WHERE alert_id = ? AND revision = ?", (record.alert_id, record.revision)
        )

    def beat(self, heartbeat: Heartbeat) -> None:
        """Store `heartbeat`."""
        encoded = JSON.encode(heartbeat).decode()
        self.database.execute("INSERT OR REPLACE INTO meta VALUES ('heartbeat', ?)", (encoded,))
