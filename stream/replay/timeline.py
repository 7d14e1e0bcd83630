"""The alerts of one version in a replay: one small value per alert, with its opening, escalation and resolution."""

from collections.abc import Iterable

import msgspec

from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.watch.machine import Tenants
from stream.wire import AlertRecord, Event, FindingRecord

_CRITICAL = "critical"


class ReplayedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a replay; times are event times, seconds since the epoch.

    The alert opened in window `bucket`; `feature` is the feature that opened it, if its detector has features.
    `evidence` contains at most 20 of `evidence_total` request ids.
    """

    alert_id: str
    tenant: str
    model: str
    side: str
    detector: str
    feature: str
    bucket: int
    bucket_seconds: float
    opened_at: float
    critical_at: float | None = None
    resolved_at: float | None = None
    severity: str = "warning"
    evidence: tuple[str, ...] = ()
    evidence_total: int = 0
    part: str = ""
    model_version: str = ""

    def until(self, time: float) -> "ReplayedAlert":
        """Return a copy of the alert with its state at `time`."""
        critical = self.critical_at if self.critical_at is not None and self.critical_at <= time else None
        resolved = self.resolved_at if self.resolved_at is not None and self.resolved_at <= time else None
        return msgspec.structs.replace(
            self,
            critical_at=critical,
            resolved_at=resolved,
            severity=self.severity if critical is not None or self.critical_at is None else "warning",
        )


class AlertTimeline:
    """Runs the alert stage on one version's findings, and keeps the alerts; `findings` is the number of alarms."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._machine = PartitionAlerts(tenants)
        self._alerts: dict[str, ReplayedAlert] = {}
        self.findings = 0

    @property
    def alerts(self) -> Iterable[ReplayedAlert]:
        """The alerts so far."""
        return self._alerts.values()

    def feed(self, event: Event) -> list[Event]:
        """Apply a finding or a tick of watch; return the alert records."""
        records = self._machine.apply(event)
        finding = event.data if isinstance(event.data, FindingRecord) else None
        self.findings += finding is not None and finding.alarm
        for record in records:
            assert isinstance(record.data, AlertRecord)
            known = self._alerts.get(record.data.alert_id)
            if known is None:
                assert finding is not None
                known = self._opened(record.data, finding)
            self._alerts[record.data.alert_id] = _updated(known, record.data)
        return records

    def _opened(self, record: AlertRecord, finding: FindingRecord) -> ReplayedAlert:
        width = finding.bucket_seconds or self._tenants(record.tenant).bucket_seconds
        return ReplayedAlert(
            alert_id=record.alert_id,
            tenant=record.tenant,
            model=record.model,
            side=record.side,
            part=record.part,
            model_version=record.model_version,
            detector=record.detector,
            feature=record.feature,
            bucket=finding.bucket if finding.bucket is not None else int(finding.time // width),
            bucket_seconds=width,
            opened_at=record.opened_at,
        )


def _updated(alert: ReplayedAlert, record: AlertRecord) -> ReplayedAlert:
    critical = record.at if record.severity == _CRITICAL and alert.critical_at is None else alert.critical_at
    return msgspec.structs.replace(
        alert,
        severity=record.severity,
        critical_at=critical,
        resolved_at=record.resolved_at,
        evidence=record.evidence,
        evidence_total=record.evidence_total,
    )
