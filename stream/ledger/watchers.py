"""The ledger's own alerts: coverage and lag. A pure function from what fires and what is seen to what is published.

They carry tenant ``_weir``, no model and no side. Ids hash what opened the alert, as everybody's do. One source that falls
silent among others is watch's to tell (stream/watch/silence.py); every source silent is told by the heartbeat alone, since
log time stands still then.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from stream.ledger.decisions import OWN_TENANT
from stream.ledger.observe import Observation
from stream.settings import LedgerSettings
from stream.wire import AlertRecord, stream_key
from stream.wire.ids import alert_id

__all__ = ["decide"]

_UPDATE_SECONDS = 10.0
#: Lag resolves at half of its bound, so that it does not flicker there.
_LAG_EXIT = 0.5


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now; `opening` is what its alert's id hashes."""

    detector: str
    severity: str
    summary: str
    opening: str
    feature: str = ""
    evidence: tuple[str, ...] = ()
    evidence_total: int = 0
    statistic: float = 0.0
    limit: float = 0.0


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


def _conditions(
    seen: Observation, settings: LedgerSettings, firing: dict[tuple[str, str], AlertRecord]
) -> Iterable[Condition]:
    if seen.missing.pairs:
        yield _coverage(seen)
    lag_bound = settings.lag_seconds * (_LAG_EXIT if ("lag", "") in firing else 1.0)
    if seen.lag_seconds > lag_bound:
        yield _lag(seen, settings.lag_seconds)


def _coverage(seen: Observation) -> Condition:
    missing = seen.missing
    by_detector = ", ".join(f"{name} {pairs}" for name, pairs in missing.detectors.items())
    return Condition(
        detector="coverage",
        severity="critical",
        summary=f"{missing.pairs} owed verdicts of {missing.requests_total} requests did not come ({by_detector})",
        opening=missing.first,
        evidence=missing.requests,
        evidence_total=missing.requests_total,
        statistic=float(missing.pairs),
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


def _open(condition: Condition, seen: Observation) -> AlertRecord:
    return AlertRecord(
        alert_id=alert_id(stream_key(OWN_TENANT, "", ""), condition.detector, condition.opening),
        state="firing",
        tenant=OWN_TENANT,
        model="",
        side="",
        opened_at=seen.log_time,
        at=seen.log_time,
        **_told(condition),
    )


def _go_on(alert: AlertRecord, condition: Condition, seen: Observation) -> AlertRecord | None:
    changed = alert.evidence != condition.evidence or alert.evidence_total != condition.evidence_total
    if not changed or seen.log_time - alert.at < _UPDATE_SECONDS:
        return None
    return _revise(alert, at=seen.log_time, **_told(condition))


def _resolve(alert: AlertRecord, seen: Observation) -> AlertRecord:
    at = max(seen.log_time, alert.at)
    return _revise(alert, state="resolved", at=at, resolved_at=at)


def _revise(alert: AlertRecord, **changes: Any) -> AlertRecord:
    return msgspec.structs.replace(alert, revision=alert.revision + 1, **changes)


def _told(condition: Condition) -> dict[str, Any]:
    told = msgspec.structs.asdict(condition)
    del told["opening"]
    return told
