"""The records of an alert, and the sentence that sums it up: numbers and names, never text of a prompt."""

from stream.alerting.state import SLOT, Evidence, OpenAlert, StreamAlerts
from stream.runbook import SILENCE, runbook_line
from stream.wire import AlertRecord, Event, TraceParent, format_time
from stream.wire.semconv import SEVERITY_NUMBERS

__all__ = ["ALERT_SOURCE", "alert_event"]

ALERT_SOURCE = "weir/alert"
_PLACES = {"input": "prompts to", "output": "answers of"}
_WORDS = {
    "pii": "personal data in",
    "toxicity": "toxic language in",
    "injection": "attempts at prompt injection in",
    "refusal": "refusals in",
    "hub": "what the model from the hub looks for in",
}


def alert_event(state: StreamAlerts, name: str, alert: OpenAlert, evidence: Evidence, *, resolved: bool) -> Event:
    """Return the event that states the alert as it is; `name` is its detector's, or its :func:`~stream.alerting.state.slot`."""
    name = name.partition(SLOT)[0]
    context = TraceParent.parse(alert.traceparent)
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
        summary=_summary(f"{_PLACES.get(state.side, state.side)} {state.model}", name, evidence)
        + _ending(alert, resolved=resolved),
        evidence=tuple(evidence.requests),
        evidence_total=evidence.requests_total,
        trace_id=context.trace_id if context else "",
        causation_ids=tuple(evidence.findings),
        revision=alert.revision,
        windows=evidence.windows,
        events=evidence.events,
        principals=evidence.principals,
        score=evidence.score,
        statistic=evidence.statistic,
        limit=evidence.limit,
        feature=evidence.feature,
        runbook=runbook_line(name, evidence.feature),
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


def _summary(where: str, name: str, evidence: Evidence) -> str:
    if name == SILENCE:
        return _silence(evidence)
    keys = _count(len(evidence.principals), "API key")
    windows = f"{_count(evidence.windows, 'window')} of {evidence.window_seconds:g} s"
    if name in _WORDS:
        findings = _count(evidence.count, "finding")
        return f"{findings} of {_WORDS[name]} {where}, from {keys} in {windows}, highest score {evidence.score:.2f}"
    test = f"{evidence.feature}: {evidence.statistic:.4g} is past its limit {evidence.limit:.4g}"
    return f"{name} in {where} ({test}), {_count(evidence.events, 'event')} from {keys} in {windows}"


def _silence(evidence: Evidence) -> str:
    told = format_time(evidence.last_time - evidence.statistic)
    return (
        f"source {evidence.feature} last told its time at {told}, {evidence.statistic:.0f} s before the others; the bound "
        f"is {evidence.limit:.0f} s. Its gateway or the shipper stands still; its events stay out of the windows"
    )


def _ending(alert: OpenAlert, *, resolved: bool) -> str:
    return f"; resolved after {alert.at - alert.opened_at:.0f} s" if resolved else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
