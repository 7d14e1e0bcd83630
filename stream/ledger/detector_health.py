"""For each detector: the newest event with an answer, and the later events without an answer.

An answer is a verdict whose label is not ``error``. A verdict with label ``error`` only shows that the stage did not
lose the event. The content of the tables depends on the set of verdicts, not on their order.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from stream.ledger.coverage import EVIDENCE, MISSING

#: Pairs are counted up to this number in each file.
_COUNTED = 10_000
_ERRORS = "SELECT event_id, request_id, time FROM failed WHERE detector = ?1 AND time > ?2"
_ABSENT = f"SELECT u.event_id, u.request_id, u.time {MISSING} AND u.detector = ?1 AND u.time > ?2"


class DetectorHealth:
    """Writes the tables ``heard`` and ``failed`` of one partition, in the caller's transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._answered: dict[str, float] = {}
        self._changed: set[str] = set()

    def answered(self, detector: str, time: float) -> None:
        """Record an answer of `detector` about an event with event time `time`."""
        self._answered[detector] = max(time, self._answered.get(detector, time))
        self._changed.add(detector)

    def failed(self, event_id: str, detector: str, request_id: str, time: float) -> None:
        """Record that `detector` has returned only errors for an event."""
        row = (event_id, detector, request_id, time)
        self._database.execute("INSERT OR IGNORE INTO failed VALUES (?, ?, ?, ?)", row)
        self._changed.add(detector)

    def recovered(self, event_id: str, detector: str, time: float) -> None:
        """Record an answer about an event for which `detector` had returned only errors before."""
        self._database.execute("DELETE FROM failed WHERE event_id = ? AND detector = ?", (event_id, detector))
        self.answered(detector, time)

    def flush(self) -> None:
        """Write the answers of a batch, and delete each detector's errors that are not newer than its newest answer."""
        for detector in self._changed:
            self._database.execute(
                "INSERT INTO heard VALUES (?1, ?2) ON CONFLICT DO UPDATE SET time = ifnull(max(time, ?2), ifnull(time, ?2))",
                (detector, self._answered.get(detector)),
            )
            self._database.execute(
                "DELETE FROM failed WHERE detector = ?1 AND time <= (SELECT time FROM heard WHERE detector = ?1)",
                (detector,),
            )

    def clear(self) -> None:
        """Discard the batch."""
        self._answered.clear()
        self._changed.clear()


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """A detector that returned an error or no verdict for each of its last `pairs` events.

    In each partition, at most 10,000 events with errors and 10,000 events without a verdict are counted. `requests`
    contains at most the first 20 request ids. `began`, `newest` and `last_answer` are event times; `last_answer` is
    None if the detector never answered.
    """

    detector: str
    pairs: int
    errors: int = 0
    requests: tuple[str, ...] = ()
    began: float = 0.0
    newest: float = 0.0
    last_answer: float | None = None


def last_answers(databases: Iterable[sqlite3.Connection]) -> dict[str, float | None]:
    """Return {detector: event time of its last answer, or None if it never answered} over all partitions."""
    answers: dict[str, float | None] = {}
    for database in databases:
        for detector, time in database.execute("SELECT detector, time FROM heard"):
            known = answers.get(detector)
            answers[detector] = time if known is None else known if time is None else max(time, known)
    return answers


def unanswered_pairs(
    databases: Sequence[sqlite3.Connection], answers: dict[str, float | None], missing: Iterable[str]
) -> tuple[Unanswered, ...]:
    """Return the detectors that have unanswered events since their last answer.

    An event with only errors is unanswered. If a detector is in `missing`, its events with a missing verdict are also
    unanswered.
    """
    absent = set(missing)
    detectors = sorted({*answers, *absent})
    entries = (_unanswered(databases, name, answers.get(name), absent=name in absent) for name in detectors)
    return tuple(entry for entry in entries if entry.pairs)


class _Part(msgspec.Struct, frozen=True):
    """The events of one file that a detector did not answer.

    `first` contains (time, event id, request id) of the oldest of these events.
    """

    pairs: int
    began: float
    newest: float
    first: list[tuple[float, str, str]]


def _unanswered(
    databases: Sequence[sqlite3.Connection], detector: str, last: float | None, *, absent: bool
) -> Unanswered:
    since = (detector, float("-inf") if last is None else last)
    errors = _parts(databases, _ERRORS, since)
    parts = [*errors, *(_parts(databases, _ABSENT, since) if absent else [])]
    first = sorted(row for part in parts for row in part.first)
    return Unanswered(
        detector=detector,
        pairs=sum(part.pairs for part in parts),
        errors=sum(part.pairs for part in errors),
        requests=tuple(dict.fromkeys(request for _, _, request in first))[:EVIDENCE],
        began=min((part.began for part in parts), default=0.0),
        newest=max((part.newest for part in parts), default=0.0),
        last_answer=last,
    )


def _parts(databases: Sequence[sqlite3.Connection], query: str, since: tuple[str, float]) -> list[_Part]:
    figures = (
        f"SELECT (SELECT count(*) FROM ({query} LIMIT {_COUNTED})),"  # noqa: S608 - constants
        f" (SELECT min(time) FROM ({query})), (SELECT max(time) FROM ({query}))"
    )
    first = f"SELECT time, event_id, request_id FROM ({query}) ORDER BY 1, 2 LIMIT {2 * EVIDENCE}"  # noqa: S608 - constants
    return [
        _Part(pairs, began, newest, database.execute(first, since).fetchall())
        for database in databases
        for pairs, began, newest in database.execute(figures, since)
        if pairs
    ]
