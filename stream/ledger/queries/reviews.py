"""Reviews of alerts: ``right`` or ``wrong``.

Every client with an API key can send feedback that names an alert. The gateway does not know whose alert it is, so the
ledger decides: a review comes from the tenant of the alert (by an API key or through the console). Other feedback is
counted.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from stream.wire import AlertRecord

__all__ = [
    "REVIEW_LABELS",
    "RejectedFeedback",
    "Review",
    "rejected_feedback",
    "review_count",
    "reviewed_alerts",
    "reviews_of",
]

REVIEW_LABELS = ("right", "wrong")
_IS_REVIEW = f"alert_id <> '' AND label IN {REVIEW_LABELS!r}"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A review of an alert: one of :data:`REVIEW_LABELS`, by a principal or an operator."""

    label: str
    by: str
    at: float


class RejectedFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """Number of feedback records that name an alert: of another tenant, and with another label."""

    tenant: int
    label: int


def reviews_of(shards: Iterable[sqlite3.Connection], alerts: Iterable[AlertRecord]) -> dict[str, list[Review]]:
    """Return {alert id: its reviews, oldest first}, without the alerts that have none."""
    tenants = msgspec.json.encode({alert.alert_id: alert.tenant for alert in alerts}).decode()
    reviews: dict[str, list[Review]] = {}
    for database in shards:
        rows = database.execute(
            "SELECT f.alert_id, f.label, f.principal, f.time FROM json_each(?) w CROSS JOIN feedback f"  # noqa: S608 - constants
            f" ON f.alert_id = w.key AND f.tenant = w.value WHERE {_IS_REVIEW}",
            (tenants,),
        )
        for alert_id, label, principal, time in rows:
            reviews.setdefault(alert_id, []).append(Review(label=label, by=principal, at=time))
    for entries in reviews.values():
        entries.sort(key=lambda review: review.at)
    return reviews


def reviewed_alerts(shards: Iterable[sqlite3.Connection]) -> list[tuple[str, str]]:
    """Return (alert id, tenant of the feedback); a review if the alert has the same tenant."""
    query = f"SELECT DISTINCT alert_id, tenant FROM feedback WHERE {_IS_REVIEW}"  # noqa: S608 - constants
    return [row for database in shards for row in database.execute(query)]


def review_count(shards: Iterable[sqlite3.Connection]) -> int:
    """Return the number of reviews, of any tenant: it changes with each new review."""
    query = f"SELECT count(*) FROM feedback WHERE {_IS_REVIEW}"  # noqa: S608 - constants
    return sum(int(database.execute(query).fetchone()[0]) for database in shards)


def rejected_feedback(decisions: sqlite3.Connection, shards: Iterable[sqlite3.Connection]) -> RejectedFeedback:
    """Count the feedback that names a known alert and is no review of it."""
    tenants = labels = 0
    for database in shards:
        counts = database.execute(
            f"SELECT alert_id, tenant, count(*) FROM feedback WHERE {_IS_REVIEW} GROUP BY 1, 2"  # noqa: S608 - constants
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
