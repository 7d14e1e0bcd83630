"""Coverage by the hour of event time, for the console's page."""

import sqlite3

import msgspec

from stream.ledger.coverage import PASSED

__all__ = ["HourCount", "coverage_hours"]

_HOUR_SECONDS = 3600
_HOURS = 72


class HourCount(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of expected, completed, failed and missing verdicts in the hour of event time that starts at `time`."""

    time: float
    owed: int
    settled: int
    errors: int
    missing: int = 0


def coverage_hours(shards: list[sqlite3.Connection]) -> list[HourCount]:
    """Return the counts of the newest 72 hours with expected verdicts, oldest first."""
    completed = "SELECT hour, sum(owed), sum(settled), sum(errors), 0 FROM pairs GROUP BY 1"
    missing = (
        f"SELECT CAST(u.time / {_HOUR_SECONDS} AS INTEGER), 0, 0, 0, count(*) FROM unsettled u"  # noqa: S608 - constants
        f" LEFT JOIN sources s ON s.source = u.source WHERE {PASSED} GROUP BY 1"
    )
    hours: dict[int, list[int]] = {}
    for database in shards:
        for hour, *counts in database.execute(f"{completed} UNION ALL {missing}"):
            hours[hour] = [a + b for a, b in zip(hours.get(hour, [0] * 4), counts, strict=True)]
    return [
        HourCount(time=float(hour * _HOUR_SECONDS), owed=owed, settled=settled, errors=errors, missing=absent)
        for hour, (owed, settled, errors, absent) in sorted(hours.items())[-_HOURS:]
    ]
