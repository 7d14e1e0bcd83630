"""The records of an alert, and the sentence that sums it up: numbers and names, never text of a prompt."""

from detectors.streams.sentinel import SENTINEL
from stream.runbook import SILENCE, runbook_line
from stream.stages.alert.change_summary import changed
from stream.stages.alert.number_format import moment, number
from stream.stages.alert.state import SLOT, Evidence, OpenAlert, StreamAlerts
from stream.wire import AlertRecord, Event, SentinelRecord, TraceParent
from stream.wire.semconv import SEVERITY_NUMBERS

__all__ = ["ALERT_SOURCE", "alert_event"]

ALERT_SOURCE = "weir/alert"
_DRIFT = "drift"
#: What the sentinels said longer ago says nothing of now.
_FRESH_SECONDS = 600.0
_PLACES = {"input": "prompts to", "output": "answers of"}
_WORDS = {
    "pii": "personal data in",
    "toxicity": "toxic language in",
    "injection": "attempts at prompt injection in",
    "refusal": "refusals in",
    "hub": "what the model from the hub looks for in",
}


def alert_event(  # noqa: PLR0913 - what is stated, and what of it
    state: StreamAlerts,
    name: str,
    alert: OpenAlert,
    evidence: Evidence,
    *,
    resolved: bool,
    sentinel: SentinelRecord | None = None,
) -> Event:
    """Return the event that states the alert as it is.

    `name` is its detector's, or its :func:`~stream.stages.alert.state.slot`; `sentinel` what the sentinels said last of the model,
    which is told with drift as long as it is not older than ten minutes of log time.
    """
    name = name.partition(SLOT)[0]
    context = TraceParent.parse(alert.traceparent)
    if name != _DRIFT or sentinel is None or alert.at - sentinel.at > _FRESH_SECONDS:
        sentinel = None
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
        + _sentinels(sentinel)
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
        sentinels="" if sentinel is None else "moved" if sentinel.moved else "still",
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
    if name == SENTINEL:
        return (
            f"{where} changed for the same fixed prompts: the model or its serving is another, the inputs are not"
            f" ({evidence.feature}: {number(evidence.statistic)} is past its limit {number(evidence.limit)},"
            f" {_count(evidence.events, 'answer')})"
        )
    keys = _count(len(evidence.principals), "API key")
    windows = f"{_count(evidence.windows, 'window')} of {evidence.window_seconds:g} s"
    if name in _WORDS:
        findings = _count(evidence.count, "finding")
        return f"{findings} of {_WORDS[name]} {where}, from {keys} in {windows}, highest score {evidence.score:.2f}"
    test = f"{evidence.feature}: {number(evidence.statistic)} is past its limit {number(evidence.limit)}"
    change = changed(evidence.feature, evidence.details)
    told = f"; {change}" if change else ""
    return f"{name} in {where} ({test}{told}), {_count(evidence.events, 'event')} from {keys} in {windows}"


def _silence(evidence: Evidence) -> str:
    told = moment(evidence.last_time - evidence.statistic)
    return (
        f"source {evidence.feature} last told its time at {told}, {evidence.statistic:.0f} s before the others; the bound "
        f"is {evidence.limit:.0f} s. Its gateway or the shipper stands still; its events stay out of the windows"
    )


def _sentinels(note: SentinelRecord | None) -> str:
    """Say whether the model changed too: then it is not the inputs alone."""
    if note is None:
        return ""
    if note.moved:
        return "; the answers to the fixed sentinel prompts changed too, so look at the model and its serving first"
    return f"; the fixed sentinel prompts are answered as before (until {moment(note.at)}), so the inputs changed"


def _ending(alert: OpenAlert, *, resolved: bool) -> str:
    return f"; resolved after {alert.at - alert.opened_at:.0f} s" if resolved else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
