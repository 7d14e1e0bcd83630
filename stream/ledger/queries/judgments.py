"""Ratings, corrections and labels of one request, as numbers and positions in the log."""

import sqlite3
from collections import Counter
from collections.abc import Iterable

import msgspec

from stream.ledger.schema import select


class CorrectionNote(msgspec.Struct, frozen=True, kw_only=True):
    """A correction: whether it has a better answer or a comment; the text is only in the log."""

    event_id: str
    answer: bool
    comment: bool
    approved: bool
    principal: str
    time: float
    topic: str
    partition: int
    offset: int


class Judgments(msgspec.Struct, frozen=True, kw_only=True):
    """The judgments of one request by principals of its tenant; the last rating of each principal and label id counts."""

    ratings: dict[str, int] = {}
    labels: tuple[float, ...] = ()
    corrections: tuple[CorrectionNote, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """{kind of judgment: number}: ratings, corrections, comments, approvals and labels, without zeros."""
        corrections = self.corrections
        found = {f"rated {rating}": count for rating, count in self.ratings.items()} | {
            "corrections": sum(one.answer for one in corrections),
            "comments": sum(one.comment for one in corrections),
            "approvals": sum(one.approved for one in corrections),
            "labels": len(self.labels),
        }
        return {what: count for what, count in found.items() if count}


def judgments_of(shards: Iterable[sqlite3.Connection], tenant: str, request_id: str) -> Judgments:
    """Return the judgments of a request; judgments by principals of another tenant are ignored."""
    ratings: dict[str, tuple[float, str, str]] = {}
    corrections: list[CorrectionNote] = []
    labels: dict[str, tuple[float, float]] = {}
    subject = (request_id, tenant)
    for database in shards:
        for principal, *rated in database.execute(
            "SELECT principal, time, event_id, rating FROM feedback WHERE request_id = ? AND tenant = ? AND rating <> ''",
            subject,
        ):
            ratings[principal] = max(ratings.get(principal, (0.0, "", "")), tuple(rated))
        corrections += select(
            database, CorrectionNote, "SELECT * FROM corrections WHERE request_id = ? AND tenant = ?", subject
        )
        for label_id, at, value in database.execute(
            "SELECT label_id, at, value FROM labels WHERE request_id = ? AND tenant = ?", subject
        ):
            labels[label_id] = max(labels.get(label_id, (at, value)), (at, value))
    return Judgments(
        ratings=dict(sorted(Counter(rating for _time, _id, rating in ratings.values()).items())),
        labels=tuple(value for _label_id, (_at, value) in sorted(labels.items())),
        corrections=tuple(sorted(corrections, key=lambda note: (note.time, note.event_id))),
    )
