"""The ledger's own alerts: coverage, gaps, lag, silent detectors, full spools.

A pure function from what fires and what is seen to what is published. They carry tenant ``_weir``, no model and no side. Ids hash what opened the alert, as everybody's do. One source that falls
silent among others is watch's to tell (stream/watch/silence.py); every source silent is told by the heartbeat alone, since
log time stands still then.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stream.ledger.alerts.condition import Condition, counted, own_alert_id
from stream.ledger.alerts.inactive_detectors import silences
from stream.ledger.alerts.observations import Observation
from stream.ledger.sources import ALERT_SHARE
from stream.runbook import runbook_line
from stream.settings import LedgerSettings
from stream.wire import OWN_TENANT, AlertRecord

__all__ = ["decide"]

_UPDATE_SECONDS = 10.0
#: Lag resolves at half of its bound, so that it does not flicker there.
_LAG_EXIT = 0.5
#: An alert is told again when its figure has grown so much.
_GROWN = 2.0

Firing = Mapping[tuple[str, str], AlertRecord]


def decide(firing: Iterable[AlertRecord], seen: Observation, settings: LedgerSettings) -> list[AlertRecord]:
    """Return the records to publish: alerts that open, go on with other evidence, or resolve.

    Parameters
    ----------
    firing
        The ledger's own alerts that fire.
    seen
        What the log shows, once everything in it was read.
    settings
        The bounds.
    """
    open_alerts = {(alert.detector, alert.feature): alert for alert in firing}
    conditions = {(item.detector, item.feature): item for item in _conditions(seen, settings, open_alerts)}
    records = []
    for key, condition in conditions.items():
        alert = open_alerts.get(key)
        records.append(_open(condition, seen) if alert is None else _go_on(alert, condition, seen))
    records += [_resolve(alert, seen) for key, alert in open_alerts.items() if key not in conditions]
    return [record for record in records if record is not None]


def _conditions(seen: Observation, settings: LedgerSettings, firing: Firing) -> Iterable[Condition]:
    if seen.missing.pairs:
        yield _coverage(seen)
    if seen.gaps.records and (seen.gaps.over is None or ("gap", "") not in firing):
        yield _gap(seen)
    lag_bound = settings.lag_seconds * (_LAG_EXIT if ("lag", "") in firing else 1.0)
    if seen.lag_seconds > lag_bound:
        yield _lag(seen, settings.lag_seconds)
    yield from silences(seen, settings, firing)
    yield from _spools(seen)


def _coverage(seen: Observation) -> Condition:
    missing = seen.missing
    return Condition(
        detector="coverage",
        severity="critical",
        summary=(
            f"{missing.pairs} owed verdicts of {missing.requests_total} requests did not come ({counted(missing.detectors)};"
            f" tenants {counted(missing.tenants)}; models {counted(missing.models)})"
        ),
        opening=missing.first,
        evidence=missing.requests,
        evidence_total=missing.requests_total,
        statistic=float(missing.pairs),
    )


def _gap(seen: Observation) -> Condition:
    gaps = seen.gaps
    return Condition(
        detector="gap",
        severity="critical",
        summary=(
            f"{gaps.lost} requests and ends were accepted and could not be kept ({counted(gaps.reasons)};"
            f" sources {counted(gaps.sources)})"
        ),
        opening=gaps.first,
        opened_at=gaps.began,
        evidence=gaps.requests,
        evidence_total=gaps.requests_total,
        statistic=float(gaps.lost),
    )


def _lag(seen: Observation, bound: float) -> Condition:
    return Condition(
        detector="lag",
        severity="warning",
        summary=f"verdicts are {seen.lag_seconds:.0f} s behind inference, the bound is {bound:.0f} s; see score's log",
        opening=seen.lag_at,
        statistic=seen.lag_seconds,
        limit=bound,
    )


def _spools(seen: Observation) -> Iterable[Condition]:
    for spool in seen.spools:
        yield Condition(
            detector="spool",
            feature=spool.source,
            severity="critical",
            summary=f"the spool of {spool.source} is taken to {spool.share:.0%}, the bound is {ALERT_SHARE:.0%}; when it is full it sheds or rejects",
            opening=f"{spool.source}@{spool.since!r}",
            opened_at=spool.since,
            statistic=spool.share,
            limit=ALERT_SHARE,
        )


def _open(condition: Condition, seen: Observation) -> AlertRecord:
    return AlertRecord(
        alert_id=own_alert_id(condition.detector, condition.opening),
        state="firing",
        tenant=OWN_TENANT,
        model="",
        side="",
        opened_at=seen.log_time if condition.opened_at is None else condition.opened_at,
        at=seen.log_time,
        runbook=runbook_line(condition.detector, condition.feature),
        **_told(condition),
    )


def _go_on(alert: AlertRecord, condition: Condition, seen: Observation) -> AlertRecord | None:
    changed = alert.evidence != condition.evidence or alert.evidence_total != condition.evidence_total
    grown = condition.statistic >= _GROWN * alert.statistic > 0
    if not (changed or grown) or seen.log_time - alert.at < _UPDATE_SECONDS:
        return None
    return _revise(alert, at=seen.log_time, **_told(condition))


def _resolve(alert: AlertRecord, seen: Observation) -> AlertRecord:
    """Resolve `alert`; a gap with all of its episode and when that was over, whenever the ledger looks."""
    at = max(seen.log_time, alert.at)
    if alert.detector == "gap" and seen.gaps.over is not None:
        return _revise(alert, state="resolved", at=at, resolved_at=seen.gaps.over, **_told(_gap(seen)))
    return _revise(alert, state="resolved", at=at, resolved_at=at)


def _revise(alert: AlertRecord, **changes: Any) -> AlertRecord:
    return msgspec.structs.replace(alert, revision=alert.revision + 1, **changes)


def _told(condition: Condition) -> dict[str, Any]:
    told = msgspec.structs.asdict(condition)
    del told["opening"], told["opened_at"]
    return told
