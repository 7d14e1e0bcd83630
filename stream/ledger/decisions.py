"""Alerts, windows, silences and retraining events in the ledger, and its own alerts between decision and acknowledgement.

The ledger's alerts go through an outbox: decided and stored with their ids in one transaction, published, and struck off
when the broker has acknowledged them. A kill in between publishes the same record again, under the same id.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.ledger.record_batches import LogRecord, Unstored, read_new, start_progress, store, write_progress
from stream.ledger.schema import open_decisions, transaction
from stream.ledger.window_history import expire_windows, keep_window
from stream.runbook import DETECTOR_PREFIX, SILENCE
from stream.wire import OWN_TENANT, AlertRecord, Event, FindingRecord, RetrainingRecord, SilenceRecord

__all__ = ["ITS_DETECTORS", "Decisions", "Heartbeat", "OutgoingAlert", "is_own"]

#: What the ledger alone raises and resolves for tenant ``_weir``.
ITS_DETECTORS = ("coverage", "gap", "lag", "spool")

#: Records of alerts that are kept, at most: where they stand in the log, the newest.
_CHANGES = 200_000

_JSON = msgspec.json.Encoder(order="deterministic")
_ALERT = msgspec.json.Decoder(AlertRecord)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger said of itself, once a second.

    Parameters
    ----------
    wall_time
        When it said so, by the wall clock.
    log_time
        The newest time that any source has told; 0 before the first tick.
    advanced_at
        When log time last moved, by the wall clock (design.md 5: only here does the clock decide).
    silence_seconds
        The setting that `silent` was decided with.
    caught_up
        Whether everything that the log held a moment ago has been read.
    lag
        {topic: records not yet read by the ledger}.
    """

    wall_time: float
    log_time: float = 0.0
    advanced_at: float = 0.0
    silence_seconds: float = 30.0
    caught_up: bool = False
    lag: dict[str, int] = {}


class OutgoingAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ledger's own alerts, to be published."""

    record: AlertRecord
    traceparent: str = ""


def is_own(alert: AlertRecord) -> bool:
    """Whether the ledger raised `alert` and is to resolve it: a `silence` of a source is watch's, that of a detector the ledger's."""
    if alert.tenant != OWN_TENANT:
        return False
    return alert.detector in ITS_DETECTORS or (alert.detector == SILENCE and alert.feature.startswith(DETECTOR_PREFIX))


class Decisions:
    """The file of alerts, windows, silences and retraining events.

    Parameters
    ----------
    path
        The SQLite file; ``:memory:`` keeps it in memory.
    retention_seconds
        Windows older than the newest by more are dropped.
    unstored
        Called once for each record that cannot be stored.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        retention_seconds: float = float("inf"),
        unstored: Unstored = lambda: None,
    ) -> None:
        self.database = open_decisions(path)
        self._retention_seconds = retention_seconds
        self._unstored = unstored
        self._handlers: dict[type, Callable[[Event, Any], None]] = {
            AlertRecord: lambda event, data: self._alert(data, event.traceparent),
            SilenceRecord: lambda _event, data: self._silence(data),
            RetrainingRecord: lambda _event, data: self._retraining(data),
            FindingRecord: lambda _event, data: keep_window(self.database, data),
        }

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def apply(self, records: Sequence[LogRecord]) -> int:
        """Take a batch in one transaction; return how many records were new, readable and storable."""
        return store(self.database, records, self._apply, self._unstored)

    def _apply(self, records: Sequence[LogRecord]) -> int:
        taken = 0
        with transaction(self.database):
            progress = start_progress(self.database)
            for _record, event in read_new(records, progress, tombstones=True):
                handler = self._handlers.get(type(event.data))
                if handler is not None:
                    handler(event, event.data)
                    taken += 1
            write_progress(self.database, progress)
        return taken

    def _alert(self, data: AlertRecord, traceparent: str) -> None:
        what = (data.alert_id, data.revision, data.state, data.detector, data.tenant, data.model, data.side)
        row = (*what, data.opened_at, data.resolved_at, data.at, traceparent, _JSON.encode(data).decode())
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

    def _silence(self, data: SilenceRecord) -> None:
        self.database.execute(
            "INSERT INTO silences VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " at = excluded.at, until = excluded.until, record = excluded.record WHERE excluded.at >= at",
            (data.silence_id, data.at, data.until, _JSON.encode(data).decode()),
        )

    def _retraining(self, data: RetrainingRecord) -> None:
        row = (data.retraining_id, data.state, data.tenant, data.model, data.at, _JSON.encode(data).decode())
        self.database.execute("INSERT OR IGNORE INTO retraining VALUES (?, ?, ?, ?, ?, ?)", row)
        links = [(alert_id, data.retraining_id) for alert_id in data.alert_ids]
        self.database.executemany("INSERT OR IGNORE INTO retraining_alerts VALUES (?, ?)", links)

    def expire(self) -> None:
        """Drop what the log no longer keeps, and what is past the bounds."""
        with transaction(self.database):
            expire_windows(self.database, self._retention_seconds)
            self.database.execute(
                "DELETE FROM alert_changes WHERE seq <= (SELECT max(seq) FROM alert_changes) - ?", (_CHANGES,)
            )

    # -- the ledger's own alerts

    def own_firing(self) -> list[OutgoingAlert]:
        """Return the ledger's own alerts that fire, each with its trace context."""
        query = "SELECT record, traceparent FROM alerts WHERE tenant = ? AND state = 'firing'"
        rows = self.database.execute(query, (OWN_TENANT,))
        found = [OutgoingAlert(record=_ALERT.decode(record), traceparent=parent) for record, parent in rows]
        return [item for item in found if is_own(item.record)]

    def resolved_until(self, detector: str) -> float:
        """Return when the last own alert of `detector` resolved, minus infinity where none has."""
        query = "SELECT max(resolved_at) FROM alerts WHERE tenant = ? AND detector = ?"
        found = self.database.execute(query, (OWN_TENANT, detector)).fetchone()[0]
        return float("-inf") if found is None else float(found)

    def has_resolved(self, alert_id: str) -> bool:
        """Whether an alert of this id fired and resolved: an id that was closed is not opened again."""
        query = "SELECT 1 FROM alerts WHERE alert_id = ? AND state = 'resolved'"
        return self.database.execute(query, (alert_id,)).fetchone() is not None

    def decide(self, outgoing: Iterable[OutgoingAlert]) -> None:
        """Keep the ledger's own alerts, and put them into the outbox."""
        with transaction(self.database):
            for item in outgoing:
                record = _JSON.encode(item.record).decode()
                row = (item.record.alert_id, item.record.revision, item.traceparent, record)
                self.database.execute("INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, ?)", row)
                self._alert(item.record, item.traceparent)

    def outbox(self) -> list[OutgoingAlert]:
        """Return what is decided and not acknowledged, oldest first."""
        rows = self.database.execute("SELECT record, traceparent FROM outbox")
        found = [OutgoingAlert(record=_ALERT.decode(record), traceparent=parent) for record, parent in rows]
        return sorted(found, key=lambda item: (item.record.at, item.record.alert_id, item.record.revision))

    def acknowledged(self, record: AlertRecord) -> None:
        """Strike `record` off the outbox."""
        self.database.execute(
            "DELETE FROM outbox WHERE alert_id = ? AND revision = ?", (record.alert_id, record.revision)
        )

    def beat(self, heartbeat: Heartbeat) -> None:
        """Leave `heartbeat` for readers."""
        encoded = _JSON.encode(heartbeat).decode()
        self.database.execute("INSERT OR REPLACE INTO meta VALUES ('heartbeat', ?)", (encoded,))
