"""The states and alerts of a world at rest: those of one undisturbed pass from zero (I3, I4, I9)."""

from itertools import pairwise
from typing import Any

import msgspec

from stream.ledger.decisions import is_own
from stream.stages.alert.state import decode as decode_alerts
from stream.stages.retrain.state import decode as decode_model
from stream.stages.watch.state import decode_stream
from stream.wire import AlertRecord, RetrainingRecord, Signal
from support.protocol.oracle import Alerts, bucket_findings, opened
from support.protocol.parts import COOL_DOWN_SECONDS, KAFKA
from support.protocol.rest import Rest, alert_of, finding_of, findings, tables, untraced, untraced_alert

__all__ = ["alerts", "bucket_findings_from_zero", "retraining", "states_from_zero"]

_NAMES = KAFKA.names


def bucket_findings_from_zero(rest: Rest) -> str:
    """Findings of buckets are those of one pass from zero; where nothing was late, those of a sorted pass too."""
    published = {event.id: finding_of(event) for event in findings(rest) if finding_of(event).bucket is not None}
    expected = rest.watched.findings
    differing = [
        name
        for name in published.keys() | expected.keys()
        if untraced(published.get(name)) != untraced(expected.get(name))
    ]
    if differing:
        name = min(differing)
        return f"{len(differing)} findings differ; {name}: {published.get(name)}, from zero {expected.get(name)}"
    if rest.watched.late:
        return ""
    signals = [event for event in rest.record.events(_NAMES.signals) if isinstance(event.data, Signal)]
    plain = {name: (one.statistic, one.details) for name, one in published.items() if one.detector == "drift"}
    return (
        ""
        if plain == bucket_findings(signals, rest.watched.watermarks)
        else "findings differ from a sorted pass over all signals"
    )


def states_from_zero(rest: Rest) -> str:
    """Tables hold what one pass from zero comes to; in the changelog, and in the memory of whoever lives."""
    expected = {key: decode_stream(value) for key, value in rest.watched.states.items()}
    for where, rows in tables(rest, "streams"):
        states = {key.decode(): decode_stream(value) for key, value in rows.items() if not key.startswith(b"\0")}
        if states != expected:
            key = min(key for key in states.keys() | expected.keys() if states.get(key) != expected.get(key))
            return f"{where}, stream {key!r}: {states.get(key)}, from zero {expected.get(key)}"
    return ""


def alerts(rest: Rest) -> str:
    """Alerts are those of one pass over the findings, none under two ids; those of single events are a plain pass's too."""
    alerts = Alerts(rest.record)
    published = {
        event.id: event
        for event in rest.record.events(_NAMES.alerts)
        if isinstance(event.data, AlertRecord) and not is_own(event.data)
    }
    differing = [
        name
        for name in published.keys() | alerts.records.keys()
        if untraced_alert(published.get(name)) != untraced_alert(alerts.records.get(name))
    ]
    if differing:
        name = min(differing)
        return f"{len(differing)} records differ; {name}: {published.get(name)}, from zero {alerts.records.get(name)}"
    singles = {
        alert_of(event).alert_id for event in published.values() if alert_of(event).detector in {"pii", "toxicity"}
    }
    plain = dict(opened(rest.record))
    ended = {alert_of(event).alert_id: alert_of(event) for event in published.values() if alert_of(event).resolved_at}
    for alert_id, alert in ended.items():
        if alert_id in plain and alert.evidence_total != plain[alert_id]:
            return f"alert {alert_id} ended with {alert.evidence_total} findings, {plain[alert_id]} in a plain pass"
    if singles != plain.keys():
        return f"alerts {sorted(singles ^ plain.keys())} are on one side alone"
    return _alert_states(rest, alerts)


def _alert_states(rest: Rest, alerts: Alerts) -> str:
    for where, rows in tables(rest, "alerts"):
        for key, value in rows.items():
            state, expected = decode_alerts(value), alerts.states[key.decode()]
            if _firing(state) != _firing(expected):
                return f"{where}, alerts of {key!r}: {_firing(state)}, from zero {_firing(expected)}"
    return ""


def _firing(state: Any) -> dict[str, Any]:
    return {name: msgspec.to_builtins(one) for name, one in state.detectors.items() if one.alert is not None}


def retraining(rest: Rest) -> str:
    """At most one request for retraining in a cool-down, and the stage knows which alerts fire."""
    asked: dict[tuple[str, str], dict[str, float]] = {}
    for event in rest.record.events(_NAMES.retraining):
        if isinstance(event.data, RetrainingRecord) and event.data.state == "requested":
            asked.setdefault((event.data.tenant, event.data.model), {})[event.data.retraining_id] = event.data.at
    for model, requests in asked.items():
        times = sorted(requests.values())
        if any(after - before < COOL_DOWN_SECONDS for before, after in pairwise(times)):
            return f"{model}: requests at {times}"
    newest: dict[str, AlertRecord] = {}
    for event in rest.record.events(_NAMES.alerts):
        if isinstance(event.data, AlertRecord) and event.data.tenant != "_weir":
            known = newest.get(event.data.alert_id)
            newest[event.data.alert_id] = (
                event.data if known is None or known.revision <= event.data.revision else known
            )
    firing = {alert.alert_id for alert in newest.values() if alert.state == "firing"}
    for where, rows in tables(rest, "retraining"):
        known_firing = {name for value in rows.values() for name in decode_model(value).firing}
        if not known_firing <= firing:
            return f"{where}: {sorted(known_firing - firing)} are thought to fire"
    return ""
