"""Alert and silence records as on weir.alerts, for tests of the topic's consumers."""

import time

from stream.silences import silence_id_of
from stream.wire import AlertRecord, Event, SilenceRecord
from stream.wire.semconv import SEVERITY_NUMBERS
from support.events import event_of


def alert(alert_id="al_1", **fields) -> AlertRecord:
    given = {
        "state": "firing",
        "detector": "pii",
        "severity": "warning",
        "tenant": "acme",
        "model": "m",
        "side": "input",
        "opened_at": 100.0,
        "at": 100.0,
        "summary": f"summary of {alert_id}",
        "runbook": "Find the cause.",
        "trace_id": "ab" * 16,
        "evidence": ("r1",),
        "evidence_total": 1,
    }
    return AlertRecord(alert_id=alert_id, **(given | fields))


def resolved(alert_id="al_1", **fields) -> AlertRecord:
    return alert(alert_id, **({"state": "resolved", "revision": 9, "at": 200.0, "resolved_at": 200.0} | fields))


def silence(of: AlertRecord, at: float, until: float) -> SilenceRecord:
    names = ("alert_id", "tenant", "model", "side", "detector", "feature", "part", "model_version")
    about = {name: getattr(of, name) for name in names}
    return SilenceRecord(silence_id=silence_id_of(of), at=at, until=until, reason="load test", by="jo", **about)


def event(data: AlertRecord | SilenceRecord) -> Event:
    if isinstance(data, SilenceRecord):
        return event_of(data, f"{data.silence_id}/{data.at}", data.at, source="t", key=data.silence_id)
    severity = {"severitynumber": str(SEVERITY_NUMBERS[data.severity]), "severitytext": data.severity}
    return event_of(data, f"{data.alert_id}/{data.revision}", data.at, source="t", key=data.alert_id, **severity)


def now(**fields) -> dict[str, float]:
    """Return the times of an alert that opens now by the system clock, which an Alertmanager uses."""
    moment = time.time()
    return {"opened_at": moment, "at": moment} | fields
