"""Reviews: whether an alert was right, and who may say so.

Everybody with a key may send feedback that names an alert, and the gateway, which never talks to Kafka, cannot know whose alert it is. So that
is decided here, where both are read: a review says ``right`` or ``wrong``, and comes from the alert's own tenant (a key of it, or the console,
which speaks for the tenant). Everything else stays feedback, and is counted.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from stream.wire import AlertRecord

__all__ = ["REVIEW_LABELS", "Review", "TurnedAway", "judged", "review_count", "reviews_of", "turned_away"]

#: What a review can say.
REVIEW_LABELS = ("right", "wrong")

#: Of the rows of ``feedback``, those that name an alert and say something of it that a review can.
_JUDGES = f"alert_id <> '' AND label IN {REVIEW_LABELS!r}"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said of an alert: one of :data:`REVIEW_LABELS`."""

    label: str
    by: str
    at: float


class TurnedAway(msgspec.Struct, frozen=True, kw_only=True):
    """Feedback that names an alert and is no review of it.

    Parameters
    ----------
    tenant
        It judges another tenant's alert.
    label
        It says something that no review can, or nothing.
    """

    tenant: int
    label: int


def reviews_of(shards: Iterable[sqlite3.Connection], alerts: Iterable[AlertRecord]) -> dict[str, list[Review]]:
    """Return {alert id: what was said of it, oldest first}; one that nobody judged is absent."""
    whose = msgspec.json.encode({alert.alert_id: alert.tenant for alert in alerts}).decode()
    found: dict[str, list[Review]] = {}
    for database in shards:
        rows = database.execute(
            "SELECT f.alert_id, f.label, f.principal, f.time FROM json_each(?) w CROSS JOIN feedback f"  # noqa: S608 - our own words
            f" ON f.alert_id = w.key AND f.tenant = w.value WHERE {_JUDGES}",
            (whose,),
        )
        for alert_id, label, principal, time in rows:
            found.setdefault(alert_id, []).append(Review(label=label, by=principal, at=time))
    for said in found.values():
        said.sort(key=lambda review: review.at)
    return found


def judged(shards: Iterable[sqlite3.Connection]) -> list[tuple[str, str]]:
    """Return (alert id, tenant) of every judgement; it is a review where the alert is that tenant's."""
    query = f"SELECT DISTINCT alert_id, tenant FROM feedback WHERE {_JUDGES}"  # noqa: S608 - our own words
    return [row for database in shards for row in database.execute(query)]


def review_count(shards: Iterable[sqlite3.Connection]) -> int:
    """Return how often somebody judged an alert, their own or not: what changes when a review comes."""
    query = f"SELECT count(*) FROM feedback WHERE {_JUDGES}"  # noqa: S608 - our own words
    return sum(int(database.execute(query).fetchone()[0]) for database in shards)


def turned_away(decisions: sqlite3.Connection, shards: Iterable[sqlite3.Connection]) -> TurnedAway:
    """Count what names an alert and is no review of it; whose an alert is that the ledger does not know, nobody can say."""
    strangers = others = 0
    for database in shards:
        judged = database.execute(
            f"SELECT alert_id, tenant, count(*) FROM feedback WHERE {_JUDGES} GROUP BY 1, 2"  # noqa: S608 - our own words
        ).fetchall()
        strangers += decisions.execute(
            "SELECT ifnull(sum(json_extract(j.value, '$[2]')), 0) FROM json_each(?) j JOIN alerts a"
            " ON a.alert_id = json_extract(j.value, '$[0]') WHERE a.tenant <> json_extract(j.value, '$[1]')",
            (msgspec.json.encode(judged).decode(),),
        ).fetchone()[0]
        others += database.execute(
            f"SELECT count(*) FROM feedback WHERE alert_id <> '' AND label NOT IN {REVIEW_LABELS!r}"  # noqa: S608 - our own words
        ).fetchone()[0]
    return TurnedAway(tenant=strangers, label=others)
