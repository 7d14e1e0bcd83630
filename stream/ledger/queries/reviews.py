"""Reviews of alerts: ``right`` or ``wrong``.

Every client with an API key can send feedback that names an alert. The gateway does not know the tenant of the alert,
so the ledger checks the tenant. Feedback is a review if the tenant of its principal (an API key or the console) is the
tenant of the alert. Feedback of another tenant is counted as rejected.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from stream.ledger.queries.proportion import wilson
from stream.ledger.schema import ALERT
from stream.wire import AlertRecord

REVIEW_LABELS = ("right", "wrong")
#: The condition on a row of `feedback` that its label is that of a review of an alert.
IS_REVIEW = f"alert_id <> '' AND label IN {REVIEW_LABELS!r}"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A review of an alert: one of :data:`REVIEW_LABELS`, by a principal or an operator."""

    label: str
    by: str
    at: float


class RejectedFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback records that name an alert but are rejected.

    `tenant` counts the records from another tenant, `label` the records with an unknown label.
    """

    tenant: int
    label: int


class ReviewedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with its newest review: the label (`right` or not) and its author `by`; `score` is the alert's highest score.

    `reviewers` are the authors of all reviews. `disputed` is whether their newest reviews disagree.
    """

    tenant: str
    detector: str
    score: float
    right: bool
    by: str
    reviewers: tuple[str, ...] = ()
    disputed: bool = False


class DetectorPrecision(msgspec.Struct, frozen=True, kw_only=True):
    """The precision of a detector in the reviewed alerts of a tenant: the share of alerts that are right.

    `low` and `high` are the bounds of its 95 % interval (Wilson 1927, doi:10.1080/01621459.1927.10502953). An alert
    counts once, by its newest review. `disputed` is the number of alerts on which reviewers disagree.
    """

    tenant: str
    detector: str
    right: int
    wrong: int
    precision: float
    low: float
    high: float
    disputed: int = 0


def detector_precision(
    decisions: sqlite3.Connection, shards: Sequence[sqlite3.Connection], tenant: str = ""
) -> list[DetectorPrecision]:
    """Return the precision of each detector with reviewed alerts, by tenant and detector; `tenant` is "" for all tenants."""
    alerts: dict[tuple[str, str], list[ReviewedAlert]] = defaultdict(list)
    for alert in scores_of_reviewed(decisions, shards, tenant):
        alerts[alert.tenant, alert.detector].append(alert)
    return [_precision(owner, detector, found) for (owner, detector), found in sorted(alerts.items())]


def scores_of_reviewed(
    decisions: sqlite3.Connection, shards: Sequence[sqlite3.Connection], tenant: str = "", since: float = 0.0
) -> list[ReviewedAlert]:
    """Return the reviewed alerts that opened at or after `since` (seconds since the epoch), of all tenants if `tenant` is ""."""
    names = sorted({alert_id for alert_id, _tenant in reviewed_alerts(shards)})
    alerts = [
        ALERT.decode(record)
        for (record,) in decisions.execute(
            "SELECT a.record FROM json_each(?) w CROSS JOIN alerts a ON a.alert_id = w.value WHERE a.opened_at >= ?",
            (msgspec.json.encode(names).decode(), since),
        )
    ]
    reviews = reviews_of(shards, alerts)
    newest = {alert_id: entries[-1] for alert_id, entries in reviews.items()}
    return [
        ReviewedAlert(
            tenant=alert.tenant,
            detector=alert.detector,
            score=alert.score,
            right=newest[alert.alert_id].label == "right",
            by=newest[alert.alert_id].by,
            reviewers=tuple(sorted({review.by for review in reviews[alert.alert_id]})),
            disputed=len(set({review.by: review.label for review in reviews[alert.alert_id]}.values())) > 1,
        )
        for alert in alerts
        if tenant in {"", alert.tenant} and alert.alert_id in newest
    ]


def _precision(tenant: str, detector: str, alerts: Sequence[ReviewedAlert]) -> DetectorPrecision:
    right, total = sum(alert.right for alert in alerts), len(alerts)
    low, high = wilson(right, total)
    return DetectorPrecision(
        tenant=tenant,
        detector=detector,
        right=right,
        wrong=total - right,
        precision=right / total,
        low=low,
        high=high,
        disputed=sum(alert.disputed for alert in alerts),
    )


def reviews_of(shards: Iterable[sqlite3.Connection], alerts: Iterable[AlertRecord]) -> dict[str, list[Review]]:
    """Return {alert id: its reviews, oldest first} for the alerts that have reviews."""
    tenants = msgspec.json.encode({alert.alert_id: alert.tenant for alert in alerts}).decode()
    reviews: dict[str, list[Review]] = {}
    for database in shards:
        rows = database.execute(
            "SELECT f.alert_id, f.label, f.principal, f.time FROM json_each(?) w CROSS JOIN feedback f"  # noqa: S608 - constants
            f" ON f.alert_id = w.key AND f.tenant = w.value WHERE {IS_REVIEW}",
            (tenants,),
        )
        for alert_id, label, principal, time in rows:
            reviews.setdefault(alert_id, []).append(Review(label=label, by=principal, at=time))
    for entries in reviews.values():
        entries.sort(key=lambda review: review.at)
    return reviews


def reviewed_alerts(shards: Iterable[sqlite3.Connection]) -> list[tuple[str, str]]:
    """Return (alert id, tenant of the principal) of all feedback with the label of a review.

    The caller must compare this tenant with the tenant of the alert.
    """
    query = f"SELECT DISTINCT alert_id, tenant FROM feedback WHERE {IS_REVIEW}"  # noqa: S608 - constants
    return [row for database in shards for row in database.execute(query)]


def review_count(shards: Iterable[sqlite3.Connection]) -> int:
    """Return the number of feedback records with the label of a review; each new review increases this number."""
    query = f"SELECT count(*) FROM feedback WHERE {IS_REVIEW}"  # noqa: S608 - constants
    return sum(int(database.execute(query).fetchone()[0]) for database in shards)


def rejected_feedback(decisions: sqlite3.Connection, shards: Iterable[sqlite3.Connection]) -> RejectedFeedback:
    """Count the feedback that names a known alert but is not a review."""
    tenants = labels = 0
    for database in shards:
        counts = database.execute(
            f"SELECT alert_id, tenant, count(*) FROM feedback WHERE {IS_REVIEW} GROUP BY 1, 2"  # noqa: S608 - constants
        ).fetchall()
        tenants += decisions.execute(
            "SELECT ifnull(sum(json_extract(j.value, '$[2]')), 0) FROM json_each(?) j JOIN alerts a"
            " ON a.alert_id = json_extract(j.value, '$[0]') WHERE a.tenant <> json_extract(j.value, '$[1]')",
            (msgspec.json.encode(counts).decode(),),
        ).fetchone()[0]
        labels += database.execute(
            f"SELECT count(*) FROM feedback WHERE alert_id <> '' AND label NOT IN {REVIEW_LABELS!r}"  # noqa: S608 - constants
        ).fetchone()[0]
    return RejectedFeedback(tenant=tenants, label=labels)
