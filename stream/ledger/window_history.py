"""Stores the findings of stream detectors about closed windows: statistic and limit over time.

Findings about one event are not stored, because the ledger stores their verdicts. Findings about Weir's own sources
are not stored, because findings about several sources can have the same stream and window.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from stream.ledger.schema import JSON, select
from stream.wire import OWN_TENANT, FindingRecord, side_and_part

#: Number of newest windows that are kept: a day of 30 s windows of 170 streams.
_MOST = 500_000
_STREAMS = 200
_POINTS = 1_440
_OF_STREAM = "tenant = ? AND model = ? AND side = ? AND detector = ? AND time BETWEEN ? AND ?"


class StreamName(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies the windows of one detector on one stream; `side` is as `stream.wire.keys.side_and_part` returns it."""

    tenant: str
    model: str
    side: str
    detector: str


class WindowStream(StreamName, frozen=True, kw_only=True):
    """The newest window of one detector on one stream."""

    time: float
    statistic: float
    limit: float
    alarm: bool
    feature: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A closed window that ended at `time`; `details` are the detector's numbers about the change."""

    time: float
    seconds: float
    statistic: float
    limit: float
    alarm: bool
    feature: str
    events: int
    details: dict[str, float] = {}


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of a stream as columns, oldest first; a long series has only the highest statistic per interval.

    `latest` is the newest window, `changed` the newest window in alarm; each is None if there is no such window.
    """

    time: list[float] = []
    statistic: list[float] = []
    limit: list[float] = []
    alarm: list[bool] = []
    events: list[int] = []
    latest: Window | None = None
    changed: Window | None = None


def store_window(database: sqlite3.Connection, finding: FindingRecord) -> None:
    """Store the finding of a closed window, in the caller's transaction; a second finding of the window is ignored."""
    if finding.bucket is None or not finding.limit or (finding.tenant == OWN_TENANT and not finding.model):
        return
    side = side_and_part(finding.side, finding.part, finding.model_version)
    name = (finding.tenant, finding.model, side, finding.detector)
    numbers = (finding.statistic, finding.limit, finding.alarm, finding.feature)
    details = JSON.encode(finding.details).decode()
    database.execute(
        "INSERT OR IGNORE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*name, finding.time, finding.bucket_seconds or 0.0, *numbers, finding.events, details),
    )
    database.execute(
        "INSERT INTO window_streams VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time = excluded.time,"
        " statistic = excluded.statistic, bound = excluded.bound, alarm = excluded.alarm, feature = excluded.feature"
        " WHERE excluded.time >= time",
        (*name, finding.time, *numbers),
    )


def expire_windows(database: sqlite3.Connection, retention_seconds: float) -> None:
    """Delete windows and streams older than the retention, and the oldest windows if there are more than half a million."""
    newest = database.execute("SELECT max(time) FROM windows").fetchone()[0]
    if newest is None:
        return
    beyond = database.execute("SELECT time FROM windows ORDER BY time DESC LIMIT 1 OFFSET ?", (_MOST,)).fetchone()
    expired = newest - retention_seconds
    database.execute("DELETE FROM windows WHERE time < ?", (max(expired, beyond[0] if beyond else 0.0),))
    # Not by number: with thousands of streams, the last half a million windows are of some minutes.
    database.execute("DELETE FROM window_streams WHERE time < ?", (expired,))


def streams(database: sqlite3.Connection, tenant: str = "") -> list[WindowStream]:
    """Return up to 200 streams of `tenant` ("": all tenants), alarms first, then by statistic divided by limit."""
    query = (
        'SELECT tenant, model, side, detector, time, statistic, bound AS "limit", alarm, feature FROM window_streams'
        " WHERE ?1 = '' OR tenant = ?1 ORDER BY alarm DESC, statistic / bound DESC, tenant, model, side, detector LIMIT ?2"
    )
    return select(database, WindowStream, query, (tenant, _STREAMS))


def series(database: sqlite3.Connection, name: StreamName, since: float, until: float) -> Series:
    """Return the windows of a stream that ended in ``[since, until]``, as at most 1,440 points."""
    bounds = (*msgspec.structs.astuple(name), since, until)
    rows = database.execute(
        f"SELECT time, statistic, bound, alarm, events FROM windows WHERE {_OF_STREAM} ORDER BY time",  # noqa: S608 - constants
        bounds,
    ).fetchall()
    columns = [list(column) for column in zip(*_thinned(rows), strict=True)] or [[], [], [], [], []]
    return Series(
        time=columns[0],
        statistic=columns[1],
        limit=columns[2],
        alarm=[bool(value) for value in columns[3]],
        events=columns[4],
        latest=_newest_window(database, bounds),
        changed=_newest_window(database, bounds, "AND alarm"),
    )


def _thinned(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Reduce too many rows: of every few consecutive rows, keep the row with the highest statistic."""
    width = -(-len(rows) // _POINTS) or 1
    return [max(rows[first : first + width], key=lambda row: row[1]) for first in range(0, len(rows), width)]


def _newest_window(database: sqlite3.Connection, bounds: Sequence[Any], condition: str = "") -> Window | None:
    row = database.execute(
        "SELECT time, seconds, statistic, bound, alarm, feature, events, details"  # noqa: S608 - constants
        f" FROM windows WHERE {_OF_STREAM} {condition} ORDER BY time DESC LIMIT 1",
        bounds,
    ).fetchone()
    if row is None:
        return None
    *numbers, details = row
    window = dict(zip(Window.__struct_fields__, numbers, strict=False)) | {"details": msgspec.json.decode(details)}
    return msgspec.convert(window, Window, strict=False)
