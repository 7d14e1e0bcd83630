"""Verdicts, alerts and retraining events of the demo's tenant."""

import time
from collections.abc import Sequence

import msgspec

from stream.wire import AlertRecord, RetrainingRecord, Verdict
from weir.operate.retraining_history import RetrainingHistory

#: The alerts and the retraining event that the demo needs to succeed.
EXPECTED = ("pii", "toxicity", "drift", "retraining")
#: The decisions of the closed loop that it also needs, if the loop is part of it.
LOOP_EXPECTED = ("promotion", "rollback")


class DemoResults(msgspec.Struct, kw_only=True):
    """The events that Weir published about one tenant since `started` (seconds of the monotonic clock).

    `verdicts` has [number of verdicts, number of flagged verdicts] per detector, `alerts` the newest record of each alert.
    `requested` is the retraining request, `tipping_alert` the id of the alert that caused this request.
    `seconds` has the time from `started` to each detector's first alert and, as ``retraining``, to the first request.
    `states` is {retraining id: newest record}, `bad_id` the id of the bad version's delivery. ``promotion`` and
    ``rollback`` in `seconds` are the decisions about the trained and about the bad version.
    """

    tenant: str
    started: float
    verdicts: dict[str, list[int]] = {}
    alerts: dict[str, AlertRecord] = {}
    requested: RetrainingRecord | None = None
    tipping_alert: str = ""
    suppressed: RetrainingHistory[RetrainingRecord] = msgspec.field(default_factory=RetrainingHistory)
    seconds: dict[str, float] = {}
    states: dict[str, RetrainingRecord] = {}
    bad_id: str = ""

    def add_verdict(self, verdict: Verdict) -> bool:
        """Count a verdict of the tenant; return whether it was counted and is flagged."""
        if verdict.tenant != self.tenant:
            return False
        counts = self.verdicts.setdefault(verdict.detector, [0, 0])
        counts[0] += 1
        counts[1] += verdict.flagged
        return verdict.flagged

    @property
    def counted(self) -> int:
        """Number of counted verdicts of all detectors."""
        return sum(count for count, _flagged in self.verdicts.values())

    def add_alert(self, alert: AlertRecord) -> bool:
        """Store an alert if it is of the tenant; return whether it was stored with a new state or a new severity."""
        if alert.tenant != self.tenant:
            return False
        known = self.alerts.get(alert.alert_id)
        self.alerts[alert.alert_id] = alert
        if alert.state == "firing":
            self.seconds.setdefault(alert.detector, time.monotonic() - self.started)
        return known is None or (known.state, known.severity) != (alert.state, alert.severity)

    def add_retraining(self, event: RetrainingRecord, alert_id: str) -> bool:
        """Store an event if it is of the tenant; return whether to show the event.

        False for another tenant, for a suppressed event if the same conditions have suppressed an earlier event, and for a
        repeated state, such as a renewed lease, without new progress.
        """
        if event.tenant != self.tenant:
            return False
        if event.state == "suppressed":
            key = self.suppressed.add(event)
            return self.suppressed.entries[key].count == 1
        known = self.states.get(event.retraining_id)
        self.states[event.retraining_id] = event
        own = self.requested is not None and event.retraining_id == self.requested.retraining_id
        if event.state == "promoted" and own:
            self.seconds.setdefault("promotion", time.monotonic() - self.started)
        if event.state == "rolled_back" and event.retraining_id == self.bad_id:
            self.seconds.setdefault("rollback", time.monotonic() - self.started)
        if event.state == "requested":
            self.requested, self.tipping_alert = event, alert_id
            self.seconds.setdefault("retraining", time.monotonic() - self.started)
        repeated = known is not None and known.state == event.state and known.numbers == event.numbers
        return not repeated

    def missing(self, expected: Sequence[str] = EXPECTED) -> list[str]:
        """Return the names in `expected` that were not seen yet."""
        return [name for name in expected if name not in self.seconds]
