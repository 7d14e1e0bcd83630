"""Which detectors answer: the newest event that each answered, and the owed pairs after it that got errors or nothing.

A verdict with label ``error`` settles what is owed (the stage did not lose the event) and is no answer. What is kept is a function of
the set of verdicts read, whatever their order.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from stream.ledger.coverage import PASSED

__all__ = ["Hearing", "Unanswered", "hearing_of", "unanswered_of"]

_EVIDENCE = 20
#: Pairs are counted up to here in each file; more are "at least so many".
_COUNTED = 10_000
_ERRORS = "SELECT event_id, request_id, time FROM failed WHERE detector = ?1 AND time > ?2"
_ABSENT = f"""
    SELECT u.event_id, u.request_id, u.time FROM unsettled u LEFT JOIN sources s ON s.source = u.source
    WHERE u.detector = ?1 AND u.time > ?2 AND {PASSED}
"""  # noqa: S608 - our own names


class Hearing:
    """Keeps the two tables of one file; :meth:`write` ends a batch, in the caller's transaction.

    Parameters
    ----------
    database
        Of one inference partition.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._answered: dict[str, float] = {}
        self._touched: set[str] = set()

    def answered(self, detector: str, time: float) -> None:
        """Note an answer of `detector` about an event at `time`."""
        self._answered[detector] = max(time, self._answered.get(detector, time))
        self._touched.add(detector)

    def failed(self, event_id: str, detector: str, request_id: str, time: float) -> None:
        """Note that `detector` has given errors alone for an event."""
        row = (event_id, detector, request_id, time)
        self._database.execute("INSERT OR IGNORE INTO failed VALUES (?, ?, ?, ?)", row)
        self._touched.add(detector)

    def mended(self, event_id: str, detector: str, time: float) -> None:
        """Note that an answer has come after the error."""
        self._database.execute("DELETE FROM failed WHERE event_id = ? AND detector = ?", (event_id, detector))
        self.answered(detector, time)

    def write(self) -> None:
        """Store what was answered, and drop the failures before it."""
        for detector in self._touched:
            self._database.execute(
                "INSERT INTO heard VALUES (?1, ?2) ON CONFLICT DO UPDATE SET time = ifnull(max(time, ?2), ifnull(time, ?2))",
                (detector, self._answered.get(detector)),
            )
            self._database.execute(
                "DELETE FROM failed WHERE detector = ?1 AND time <= (SELECT time FROM heard WHERE detector = ?1)",
                (detector,),
            )

    def clear(self) -> None:
        """Forget the batch."""
        self._answered.clear()
        self._touched.clear()


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """The owed pairs of one detector since its last answer, all of them errors or missing.

    Parameters
    ----------
    detector
        Whose.
    pairs, errors
        How many, 10,000 a partition at most, and how many of them have an error verdict.
    requests
        Request ids of the first of them, 20 at most.
    began, newest
        Event times of the first and of the last.
    last_answer
        Event time of its last answer, None where the log holds none.
    """

    detector: str
    pairs: int
    errors: int = 0
    requests: tuple[str, ...] = ()
    began: float = 0.0
    newest: float = 0.0
    last_answer: float | None = None


def hearing_of(databases: Iterable[sqlite3.Connection]) -> dict[str, float | None]:
    """Return {detector: event time of its last answer, None where it never gave one} over all files."""
    heard: dict[str, float | None] = {}
    for database in databases:
        for detector, time in database.execute("SELECT detector, time FROM heard"):
            known = heard.get(detector)
            heard[detector] = time if known is None else known if time is None else max(time, known)
    return heard


def unanswered_of(
    databases: Sequence[sqlite3.Connection], heard: dict[str, float | None], missing: Iterable[str]
) -> tuple[Unanswered, ...]:
    """Return what each detector owes since its last answer, without those that owe nothing.

    Parameters
    ----------
    databases
        Every file.
    heard
        From :func:`hearing_of`.
    missing
        Detectors with pairs whose time has passed without a verdict.
    """
    absent = set(missing)
    found = (_unanswered(databases, name, heard.get(name), absent=name in absent) for name in sorted({*heard, *absent}))
    return tuple(one for one in found if one.pairs)


class _Part(msgspec.Struct, frozen=True):
    """What one file holds of one kind."""

    pairs: int
    began: float
    newest: float
    named: list[tuple[float, str, str]]


def _unanswered(
    databases: Sequence[sqlite3.Connection], detector: str, last: float | None, *, absent: bool
) -> Unanswered:
    bound = (detector, float("-inf") if last is None else last)
    errors = [part for database in databases if (part := _part(database, _ERRORS, bound)) is not None]
    others = [part for database in databases if absent and (part := _part(database, _ABSENT, bound)) is not None]
    parts = [*errors, *others]
    named = sorted(row for part in parts for row in part.named)
    return Unanswered(
        detector=detector,
        pairs=sum(part.pairs for part in parts),
        errors=sum(part.pairs for part in errors),
        requests=tuple(dict.fromkeys(request for _, _, request in named))[:_EVIDENCE],
        began=min((part.began for part in parts), default=0.0),
        newest=max((part.newest for part in parts), default=0.0),
        last_answer=last,
    )


def _part(database: sqlite3.Connection, query: str, bound: tuple[str, float]) -> _Part | None:
    figures = (
        f"SELECT (SELECT count(*) FROM ({query} LIMIT {_COUNTED})),"  # noqa: S608 - our own names
        f" (SELECT min(time) FROM ({query})), (SELECT max(time) FROM ({query}))"
    )
    pairs, began, newest = database.execute(figures, bound).fetchone()
    if not pairs:
        return None
    named = f"SELECT time, event_id, request_id FROM ({query}) ORDER BY 1, 2 LIMIT {2 * _EVIDENCE}"  # noqa: S608 - as above
    return _Part(pairs, began, newest, database.execute(named, bound).fetchall())
