"""The balance of capture: ``accepted = delivered + spooled + shed``.

All counts are computed from the files of the spools, not kept in memory, so a restart loses nothing.
"""

import time
from pathlib import Path

import msgspec

from serving.capture.delivery_cursor import Cursor, load_cursor, load_totals
from serving.capture.open_gap import read_gap
from serving.capture.segment import Kind, frames_of, gap_of, head_of, record_of, segment_path, segments
from serving.capture.spool_layout import source_directories
from stream.wire import Tick

#: Attempts to read, because a spool can be added to the totals, or a segment be removed, during a read.
_ATTEMPTS = 5
_TICK = msgspec.json.Decoder(Tick)


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of request and end records; ``accepted = delivered + spooled + shed``.

    `delivered` records were acknowledged by Kafka and are before the cursor on disk. `spooled` records are only on this
    disk. `shed` records were dropped and counted in gap records. `oldest_age_seconds` is the age of the oldest spooled
    record, or 0 if no record is spooled. `bytes` is the size of all segments, `fullest` the source of the fullest spool,
    and `fullest_bytes` its size. Each spool has its own size limit; a reader that has the limit adds to `fullest_bytes`
    the space that the spool reserves for the ends of open requests.
    """

    accepted: int = 0
    delivered: int = 0
    spooled: int = 0
    shed: int = 0
    oldest_age_seconds: float = 0.0
    bytes: int = 0
    fullest_bytes: int = 0
    fullest: str = ""


def read_balance(root: Path, limit_bytes: int = 0) -> Balance:
    """Return the balance of all spools under `root`, including removed spools. Reads the last segment of each spool."""
    for _ in range(_ATTEMPTS):
        totals, found, complete = load_totals(root), dict[str, Balance](), True
        for name, directory in source_directories(root).items():
            if name not in totals.folded:
                try:
                    found[name] = read_source(directory, limit_bytes)
                except FileNotFoundError:
                    complete = False
        if complete and load_totals(root) == totals:
            break
    parts = found.values()
    fullest = max(found, key=lambda name: found[name].fullest_bytes, default="")
    accepted = totals.accepted + sum(part.accepted for part in parts)
    delivered = totals.delivered + sum(part.delivered for part in parts)
    shed = totals.shed + sum(part.shed for part in parts)
    return Balance(
        accepted=accepted,
        delivered=delivered,
        spooled=accepted - delivered - shed,
        shed=shed,
        oldest_age_seconds=max((part.oldest_age_seconds for part in parts), default=0.0),
        bytes=sum(part.bytes for part in parts),
        fullest_bytes=found[fullest].fullest_bytes if fullest else 0,
        fullest=fullest,
    )


def read_source(directory: Path, limit_bytes: int = 0) -> Balance:
    """Return the balance of one spool from its cursor, its last segment and its open gap.

    Raises FileNotFoundError if the spool, or a segment during the read, was removed.
    """
    cursor = load_cursor(directory)  # before the segments: delivered must not exceed accepted
    number, shed, used = _end_of(directory)
    gap = read_gap(directory, number)
    accepted = max(gap.last, cursor.number)
    shed += gap.count + cursor.moved
    spooled = accepted - cursor.delivered - shed
    size = sum(segment_path(directory, index).stat().st_size for index in segments(directory))
    return Balance(
        accepted=accepted,
        delivered=cursor.delivered,
        spooled=spooled,
        shed=shed,
        oldest_age_seconds=_oldest_age(directory, cursor) if spooled else 0.0,
        bytes=size,
        fullest_bytes=max(size, round(used * limit_bytes)),
    )


def _end_of(directory: Path) -> tuple[int, int, float]:
    """Return the last record number, the number of records dropped up to it, and the used share of the spool's limit.

    The share is that of the last tick, with the space reserved for the ends of open requests; 0 if the spool is closed. A
    segment without a valid frame is being created, so the segment before it is read.
    """
    for index in reversed(segments(directory)):
        last, tick, shed = None, None, 0
        for frame in frames_of(segment_path(directory, index)):
            if frame.kind == Kind.HEAD:
                shed = head_of(frame).shed
            elif frame.kind == Kind.GAP:
                shed += gap_of(frame).count
            elif frame.kind in {Kind.TICK, Kind.CLOSED}:
                tick = frame if frame.kind == Kind.TICK else None
            last = frame
        if last is not None:
            return last.number, shed, 0.0 if tick is None else _TICK.decode(record_of(tick).value).spool
    return 0, 0, 0.0


def _oldest_age(directory: Path, cursor: Cursor) -> float:
    """Return the age of the first numbered frame behind `cursor`, or 0 without one."""
    for index in segments(directory):
        if index >= cursor.segment:
            first = cursor.offset if index == cursor.segment else 0
            for frame in frames_of(segment_path(directory, index), first):
                if frame.kind in {Kind.REQUEST, Kind.END, Kind.GAP}:
                    return max(0.0, time.time() - frame.time / 1e6)
    return 0.0
