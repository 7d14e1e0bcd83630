"""Follows what Weir says of the demo's tenant, and knows when everything that the demo promises was seen."""

import time

import msgspec

from stream.wire import AlertRecord, RetrainingRecord, Verdict

__all__ = ["PROMISED", "Seen"]

#: What the demo must see for its own requests before it may exit with 0.
PROMISED = ("pii", "toxicity", "drift", "retraining")


class Seen(msgspec.Struct, kw_only=True):
    """Everything seen of one tenant so far.

    Parameters
    ----------
    tenant
        The demo's own tenant: what others do is passed by.
    started
        Clock time of the first request (seconds).
    """

    tenant: str
    started: float
    verdicts: dict[str, list[int]] = {}
    alerts: dict[str, AlertRecord] = {}
    requested: RetrainingRecord | None = None
    tipping_alert: str = ""
    suppressed: str = ""
    seconds: dict[str, float] = {}

    def verdict(self, verdict: Verdict) -> bool:
        """Count a verdict; True when it is one of ours and flagged."""
        if verdict.tenant != self.tenant:
            return False
        counts = self.verdicts.setdefault(verdict.detector, [0, 0])
        counts[0] += 1
        counts[1] += verdict.flagged
        return verdict.flagged

    def alert(self, alert: AlertRecord) -> bool:
        """Keep an alert; True when it is one of ours and its state is new."""
        if alert.tenant != self.tenant:
            return False
        known = self.alerts.get(alert.alert_id)
        self.alerts[alert.alert_id] = alert
        if alert.state == "firing":
            self.seconds.setdefault(alert.detector, time.monotonic() - self.started)
        return known is None or (known.state, known.severity) != (alert.state, alert.severity)

    def retraining(self, event: RetrainingRecord, alert_id: str) -> bool:
        """Keep a retraining event that `alert_id` tipped; True when it is one of ours."""
        if event.tenant != self.tenant:
            return False
        if event.state == "requested":
            self.requested, self.tipping_alert = event, alert_id
            self.seconds.setdefault("retraining", time.monotonic() - self.started)
        else:
            self.suppressed = event.reason
        return True

    def missing(self) -> list[str]:
        """Return what was promised and not seen yet."""
        return [name for name in PROMISED if name not in self.seconds]
