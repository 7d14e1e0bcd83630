"""Builds the records of an alert: its state after each change, with references to its evidence."""

from detectors.registry import alert_text
from stream.runbook import runbook_line
from stream.stages.alert.evidence import largest
from stream.stages.alert.state import SLOT, Evidence, OpenAlert, StreamAlerts
from stream.stages.alert.summary import summary
from stream.wire import AlertRecord, Event, SentinelRecord, TraceParent
from stream.wire.semconv import SEVERITY_NUMBERS

ALERT_SOURCE = "weir/alert"
_DRIFT = "drift"
#: Event time after which a result of the fixed prompts is too old for an alert.
_FRESH_SECONDS = 600.0


def alert_event(  # noqa: PLR0913 - the parts of a stream's state that a record states
    state: StreamAlerts,
    name: str,
    alert: OpenAlert,
    evidence: Evidence,
    *,
    resolved: bool,
    sentinel: SentinelRecord | None = None,
) -> Event:
    """Return the event with the alert's present state.

    `name` is the detector or its :func:`~stream.stages.alert.state.slot`. `sentinel` states whether the model's answers to the fixed prompts changed;
    a drift alert contains this result if the result is at most ten minutes (event time) old.
    """
    name = name.partition(SLOT)[0]
    text = alert_text(name)
    context = TraceParent.parse(alert.traceparent)
    if name != _DRIFT or sentinel is None or alert.at - sentinel.at > _FRESH_SECONDS:
        sentinel = None
    ending = f" Resolved after {alert.at - alert.opened_at:.0f} s." if resolved else ""
    record = AlertRecord(
        alert_id=alert.alert_id,
        state="resolved" if resolved else "firing",
        detector=name,
        severity=alert.severity,
        tenant=state.tenant,
        model=state.model,
        side=state.side,
        opened_at=alert.opened_at,
        at=alert.at,
        resolved_at=alert.at if resolved else None,
        summary=summary(state, name, alert, evidence, sentinel) + ending,
        evidence=tuple(evidence.requests),
        evidence_total=evidence.requests_total,
        trace_id=context.trace_id if context else "",
        causation_ids=tuple(evidence.findings),
        revision=alert.revision,
        windows=evidence.windows,
        events=evidence.events,
        principals=largest(evidence.principals),
        score=evidence.score,
        statistic=evidence.statistic,
        limit=evidence.limit,
        feature=evidence.feature,
        runbook=text.runbook if text is not None else runbook_line(name, evidence.feature),
        sentinels="" if sentinel is None else "moved" if sentinel.moved else "still",
        part=state.part,
        model_version=state.model_version,
        features=tuple(evidence.features),
    )
    return Event(
        id=f"{alert.alert_id}/{alert.revision}",
        source=ALERT_SOURCE,
        type=AlertRecord.event_type,
        time=alert.at,
        data=record,
        subject=alert.alert_id,
        correlationid=evidence.requests[0] if evidence.requests else "",
        causationid=alert.cause,
        traceparent=alert.traceparent,
        partitionkey=alert.alert_id,
        severitynumber=str(SEVERITY_NUMBERS[alert.severity]),
        severitytext=alert.severity,
    )
