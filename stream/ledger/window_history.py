"""What stream detectors found in each closed window: the statistic beside its limit, over time, one row a window.

Findings about one event are not kept: their verdicts are. Neither are those about Weir's own sources, of which many share a window.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from stream.wire import OWN_TENANT, FindingRecord

__all__ = ["Series", "StreamName", "Window", "WindowStream", "expire_windows", "keep_window", "series", "streams"]

#: Windows that are kept, at most: the newest. 30 s windows of 170 streams for a day.
_MOST = 500_000
_STREAMS = 200
_POINTS = 1_440
_DETAILS = msgspec.json.Decoder(dict[str, float])
_JSON = msgspec.json.Encoder(order="deterministic")


class StreamName(msgspec.Struct, frozen=True, kw_only=True):
    """One detector of one stream."""

    tenant: str
    model: str
    side: str
    detector: str


class WindowStream(StreamName, frozen=True, kw_only=True):
    """Where a stream stands: its newest window."""

    time: float
    statistic: float
    limit: float
    alarm: bool
    feature: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A closed window that ended at `time`, and the numbers that say what changed."""

    time: float
    seconds: float
    statistic: float
    limit: float
    alarm: bool
    feature: str
    events: int
    details: dict[str, float] = {}


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Windows of a stream as columns, oldest first; where there are too many, the highest of each run speaks for it.

    `latest` is the newest window, `changed` the newest one in alarm, None where none is.
    """

    time: list[float] = []
    statistic: list[float] = []
    limit: list[float] = []
    alarm: list[bool] = []
    events: list[int] = []
    latest: Window | None = None
    changed: Window | None = None


def keep_window(database: sqlite3.Connection, finding: FindingRecord) -> None:
    """Keep the finding of a closed window, in the caller's transaction; the first of two for one window stays."""
    if finding.bucket is None or not finding.limit or (finding.tenant == OWN_TENANT and not finding.model):
        return
    name = (finding.tenant, finding.model, finding.side, finding.detector)
    numbers = (finding.statistic, finding.limit, finding.alarm, finding.feature)
    database.execute(
        "INSERT OR IGNORE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *name,
            finding.time,
            finding.bucket_seconds or 0.0,
            *numbers,
            finding.events,
            _JSON.encode(finding.details).decode(),
        ),
    )
    database.execute(
        "INSERT INTO window_streams VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time = excluded.time,"
        " statistic = excluded.statistic, bound = excluded.bound, alarm = excluded.alarm, feature = excluded.feature"
        " WHERE excluded.time >= time",
        (*name, finding.time, *numbers),
    )


def expire_windows(database: sqlite3.Connection, retention_seconds: float) -> None:
    """Drop windows older than the newest by more than `retention_seconds`, and the oldest of more than half a million."""
    newest = database.execute("SELECT max(time) FROM windows").fetchone()[0]
    if newest is None:
        return
    beyond = database.execute("SELECT time FROM windows ORDER BY time DESC LIMIT 1 OFFSET ?", (_MOST,)).fetchone()
    floor = max(newest - retention_seconds, beyond[0] if beyond else 0.0)
    for table in ("windows", "window_streams"):
        database.execute(f"DELETE FROM {table} WHERE time < ?", (floor,))  # noqa: S608 - our own names


def streams(database: sqlite3.Connection, tenant: str = "") -> list[WindowStream]:
    """Return the streams that stand highest against their limits, 200 at most; of `tenant`, where one is named."""
    rows = database.execute(
        "SELECT tenant, model, side, detector, time, statistic, bound, alarm, feature FROM window_streams"
        " WHERE ?1 = '' OR tenant = ?1 ORDER BY alarm DESC, statistic / bound DESC, tenant, model, side, detector LIMIT ?2",
        (tenant, _STREAMS),
    )
    return [
        WindowStream(
            tenant=of,
            model=model,
            side=side,
            detector=detector,
            time=time,
            statistic=statistic,
            limit=bound,
            alarm=bool(alarm),
            feature=feature,
        )
        for of, model, side, detector, time, statistic, bound, alarm, feature in rows
    ]


def series(database: sqlite3.Connection, name: StreamName, since: float, until: float) -> Series:
    """Return the windows of a stream that ended in ``[since, until]``, as 1,440 points at most."""
    rows = database.execute(
        "SELECT time, statistic, bound, alarm, events FROM windows WHERE tenant = ? AND model = ? AND side = ?"
        " AND detector = ? AND time BETWEEN ? AND ? ORDER BY time",
        (*msgspec.structs.astuple(name), since, until),
    ).fetchall()
    thinned = _thinned(rows)
    columns = [list(column) for column in zip(*thinned, strict=True)] or [[], [], [], [], []]
    return Series(
        time=columns[0],
        statistic=columns[1],
        limit=columns[2],
        alarm=[bool(value) for value in columns[3]],
        events=columns[4],
        latest=_window(database, name, since, until),
        changed=_window(database, name, since, until, "AND alarm"),
    )


def _thinned(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Let one row speak for each run of them where there are too many: the one that stands highest."""
    width = -(-len(rows) // _POINTS) or 1
    return [max(rows[first : first + width], key=lambda row: row[1]) for first in range(0, len(rows), width)]


def _window(
    database: sqlite3.Connection, name: StreamName, since: float, until: float, also: str = ""
) -> Window | None:
    row = database.execute(
        "SELECT time, seconds, statistic, bound, alarm, feature, events, details FROM windows WHERE tenant = ?"  # noqa: S608 - ours
        f" AND model = ? AND side = ? AND detector = ? AND time BETWEEN ? AND ? {also} ORDER BY time DESC LIMIT 1",
        (*msgspec.structs.astuple(name), since, until),
    ).fetchone()
    if row is None:
        return None
    time, seconds, statistic, bound, alarm, feature, events, details = row
    return Window(
        time=time,
        seconds=seconds,
        statistic=statistic,
        limit=bound,
        alarm=bool(alarm),
        feature=feature,
        events=events,
        details=_DETAILS.decode(details),
    )
