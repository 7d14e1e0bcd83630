"""Check that the states and alerts of a world at rest equal those of one uninterrupted pass from offset 0 (I3, I4, I9)."""

from itertools import pairwise

import msgspec

from stream.ledger.decisions import is_own
from stream.stages.alert.state import decode as decode_alerts
from stream.stages.retrain.state import AlertsHalf
from stream.stages.retrain.state import decode as decode_half
from stream.stages.watch.state import decode_stream
from stream.wire import OWN_TENANT, AlertRecord, FindingRecord, RetrainingRecord, Signal
from support.protocol.oracle import Alerts, bucket_findings, opened
from support.protocol.parts import COOL_DOWN_SECONDS, DETECTORS, KAFKA
from support.protocol.rest import describe, difference

_NAMES = KAFKA.names


def bucket_findings_from_zero(rest):
    """Check that findings of buckets equal those of one pass from offset 0 and, if no event was late and no stream removed, of a sorted pass."""
    findings = rest.data(_NAMES.findings, FindingRecord)
    published = {name: finding for name, finding in findings.items() if finding.bucket is not None}
    if differing := difference(published, rest.watched.findings):
        return differing
    plain = {name: (one.statistic, one.details) for name, one in published.items() if one.detector == "drift"}
    signals = rest.data(_NAMES.signals, Signal)
    if rest.watched.late or rest.watched.removed or plain == bucket_findings(signals.values(), rest.watched.watermarks):
        return ""
    return "findings differ from a sorted pass over all signals"


def states_from_zero(rest):
    """Check that tables, in the changelog and in the workers' memory, equal the result of one pass from offset 0."""
    expected = {key: decode_stream(value) for key, value in rest.watched.states.items()}
    for where, rows in rest.tables("streams"):
        states = {key.decode(): decode_stream(value) for key, value in rows.items() if not key.startswith(b"\0")}
        if differing := difference(states, expected):
            return f"{where}: {differing}"
    return ""


def alerts(rest):
    """Check that alerts equal those of one pass over the findings, and that alerts on single events equal those of a plain pass.

    No alert may have two ids. The last record of each alert has its highest revision, because compaction keeps the last record.
    """
    alerts, plain = Alerts(rest.record), dict(opened(rest.record))
    records = rest.data(_NAMES.alerts, AlertRecord).items()
    published = {name: alert for name, alert in records if not is_own(alert)}
    if differing := difference(published, alerts.records):
        return differing
    singles = {alert.alert_id for alert in published.values() if alert.detector in DETECTORS}
    ended = {alert.alert_id: alert.evidence_total for alert in published.values() if alert.resolved_at}
    log = [event.data for event in rest.record.events(_NAMES.alerts) if isinstance(event.data, AlertRecord)]
    newest, last = ({alert.alert_id: alert.revision for alert in order} for order in (sorted(log, key=_revision), log))
    return describe(
        not_last=sorted(newest.items() - last.items()),
        counts=[(name, count) for name, count in ended.items() if plain.get(name, count) != count],
        one_sided=sorted(singles ^ plain.keys()),
        states=[
            (where, key)
            for where, rows in rest.tables("alerts")
            for key, value in rows.items()
            if _firing(decode_alerts(value)) != _firing(alerts.states[key.decode()])
        ],
    )


def _revision(alert):
    return alert.revision


def _firing(state):
    return {name: msgspec.to_builtins(one) for name, one in state.detectors.items() if one.alert is not None}


def retraining(rest):
    """Check that each cool-down has at most one retraining request, and that the stage's state has the firing alerts."""
    asked = {}
    for event in rest.data(_NAMES.retraining, RetrainingRecord).values():
        if event.state == "requested":
            asked.setdefault((event.tenant, event.model), {})[event.retraining_id] = event.at
    for model, requests in asked.items():
        times = sorted(requests.values())
        if any(after - before < COOL_DOWN_SECONDS for before, after in pairwise(times)):
            return f"{model}: requests at {times}"
    newest = {}
    for alert in sorted(rest.data(_NAMES.alerts, AlertRecord).values(), key=lambda alert: alert.revision):
        newest[alert.alert_id] = alert
    firing = {name for name, alert in newest.items() if alert.state == "firing" and alert.tenant != OWN_TENANT}
    known = {
        (where, name)
        for where, rows in rest.tables("retraining")
        for half in map(decode_half, rows.values())
        if isinstance(half, AlertsHalf)
        for name in half.firing
    }
    return describe(
        thought_to_fire=[place for place in sorted(known) if place[1] not in firing],
        not_known_to_fire=sorted(firing - {name for where, name in known if where == "changelog"}),
    )
