"""Alerts and silences as they stand on weir.alerts, for tests of who reads them."""

import time

from stream.silences import silence_id_of
from stream.wire import AlertRecord, Event, SilenceRecord
from stream.wire.semconv import SEVERITY_NUMBERS


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
    return SilenceRecord(
        silence_id=silence_id_of(of),
        alert_id=of.alert_id,
        tenant=of.tenant,
        model=of.model,
        side=of.side,
        detector=of.detector,
        feature=of.feature,
        at=at,
        until=until,
        reason="load test",
        by="jo",
    )


def event(data: AlertRecord | SilenceRecord) -> Event:
    if isinstance(data, AlertRecord):
        key, name = data.alert_id, f"{data.alert_id}/{data.revision}"
        extra = {"severitynumber": str(SEVERITY_NUMBERS[data.severity]), "severitytext": data.severity}
    else:
        key, name, extra = data.silence_id, f"{data.silence_id}/{data.at}", {}
    return Event(id=name, source="t", type=data.event_type, time=data.at, data=data, partitionkey=key, **extra)


def now(**fields) -> dict[str, float]:
    """Return times of an alert that opens now, by the clock that an Alertmanager goes by."""
    moment = time.time()
    return {"opened_at": moment, "at": moment} | fields
