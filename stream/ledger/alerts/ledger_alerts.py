"""The ledger's own alerts: coverage, gaps, lag, inactive detectors, full spools.

The decision is a pure function of the firing alerts and an observation; it returns the records to publish. The alerts
have tenant ``_weir``, no model and no side. The watch stage, not the ledger, raises an alert if some of the sources are
inactive (stream/stages/watch/source_liveness.py). If every source is inactive, event time does not advance, and only
the ledger's heartbeat shows the fault.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from stream.count_text import count_text
from stream.ledger.alerts.condition import Condition, counted, own_alert_id, revised
from stream.ledger.alerts.full_spool import full_spool
from stream.ledger.alerts.gaps import lost_records
from stream.ledger.alerts.inactive_detectors import Firing, inactive_detectors
from stream.ledger.alerts.observations import Observation
from stream.ledger.coverage import MissingVerdicts
from stream.runbook import runbook_line
from stream.settings import LedgerSettings
from stream.wire import OWN_TENANT, AlertRecord

_UPDATE_SECONDS = 10.0
#: Factor of growth of the statistic at which a firing alert is published again.
_GROWN = 2.0
#: Factor of the bound of the lag below which its alert resolves, so that it does not flap.
_LAG_EXIT = 0.5


def decide(firing: Iterable[AlertRecord], observation: Observation, settings: LedgerSettings) -> list[AlertRecord]:
    """Return the records to publish: alerts that open, change or resolve. Call it after the log was read to its end.

    `firing` contains the firing alerts that the ledger opened.
    """
    open_alerts = {(alert.detector, alert.feature): alert for alert in firing}
    conditions = {(item.detector, item.feature): item for item in _conditions(observation, settings, open_alerts)}
    records = []
    for key, condition in conditions.items():
        alert = open_alerts.get(key)
        records.append(_open(condition, observation) if alert is None else _update(alert, condition, observation))
    records += [_resolve(alert, observation) for key, alert in open_alerts.items() if key not in conditions]
    return [record for record in records if record is not None]


def _conditions(observation: Observation, settings: LedgerSettings, firing: Firing) -> Iterable[Condition]:
    if observation.missing.pairs:
        yield _missing_verdicts(observation.missing)
    if observation.gaps.records and (observation.gaps.over is None or ("gap", "") not in firing):
        yield lost_records(observation.gaps)
    # While the alert fires, the bound is lower.
    if observation.lag_seconds > settings.lag_seconds * (_LAG_EXIT if ("lag", "") in firing else 1.0):
        yield _verdict_lag(observation, settings.lag_seconds)
    yield from inactive_detectors(observation, settings, firing)
    yield from map(full_spool, observation.spools)


def _missing_verdicts(missing: MissingVerdicts) -> Condition:
    return Condition(
        detector="coverage",
        severity="critical",
        summary=(
            f"{count_text(missing.pairs, 'expected verdict')} on {count_text(missing.requests_total, 'request')}"
            f" {'is' if missing.pairs == 1 else 'are'} missing: {counted(missing.detectors)};"
            f" tenants {counted(missing.tenants)}; models {counted(missing.models)}"
        ),
        opening=missing.first,
        evidence=missing.requests,
        evidence_total=missing.requests_total,
        statistic=float(missing.pairs),
    )


def _verdict_lag(observation: Observation, bound: float) -> Condition:
    return Condition(
        detector="lag",
        severity="warning",
        summary=f"Verdicts are {observation.lag_seconds:.0f} s behind inference (limit {bound:.0f} s)",
        opening=observation.lag_identity,
        statistic=observation.lag_seconds,
        limit=bound,
    )


def _open(condition: Condition, observation: Observation) -> AlertRecord:
    return AlertRecord(
        alert_id=own_alert_id(condition.detector, condition.opening),
        state="firing",
        tenant=OWN_TENANT,
        model="",
        side="",
        opened_at=observation.log_time if condition.opened_at is None else condition.opened_at,
        at=observation.log_time,
        runbook=runbook_line(condition.detector, condition.feature),
        **_fields(condition),
    )


def _update(alert: AlertRecord, condition: Condition, observation: Observation) -> AlertRecord | None:
    changed = alert.evidence != condition.evidence or alert.evidence_total != condition.evidence_total
    grown = condition.statistic >= _GROWN * alert.statistic > 0
    if not (changed or grown) or observation.log_time - alert.at < _UPDATE_SECONDS:
        return None
    return revised(alert, at=observation.log_time, **_fields(condition))


def _resolve(alert: AlertRecord, observation: Observation) -> AlertRecord:
    """Resolve `alert`, with its duration in the summary. A gap alert gets the final numbers of its episode and resolves at the episode's end."""
    at = max(observation.log_time, alert.at)
    gaps = observation.gaps
    if alert.detector == "gap" and gaps.over is not None:
        return revised(alert, state="resolved", at=at, resolved_at=gaps.over, **_fields(lost_records(gaps)))
    summary = f"{alert.summary}. Resolved after {at - alert.opened_at:.0f} s."
    return revised(alert, state="resolved", at=at, resolved_at=at, summary=summary)


def _fields(condition: Condition) -> dict[str, Any]:
    fields = msgspec.structs.asdict(condition)
    del fields["opening"], fields["opened_at"]
    return fields
