"""What a person has to know to read a diff: what was not there, not compared, or not comparable."""

from math import isinf

import msgspec

from stream.replay.offset_ranges import Left
from stream.replay.plan import ReplayRequest
from stream.replay.report import EventCounts, Flips
from stream.replay.timeline import ReplayedAlert
from stream.wire import format_time

__all__ = ["Found", "notes"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What both versions found; the one that is compared against first."""

    alerts: tuple[list[ReplayedAlert], list[ReplayedAlert]]
    findings: tuple[int, int]
    flips: Flips = msgspec.field(default_factory=Flips)
    behind: dict[int, float] = {}


def notes(asked: ReplayRequest, left: Left, found: Found, events: EventCounts) -> list[str]:
    """Return one sentence for each thing that bears on the diff."""
    told: list[str] = []
    if not events.read:
        told.append(f"no events of tenant {asked.tenant} from {_moment(asked.start)} to {format_time(asked.until)}")
    if left.expired and (asked.start is None or (left.since or 0.0) > asked.start):
        told.append(_expired(asked, left))
    if events.read and not events.compared and not events.pending:
        told.append(f"no event of the range owes a verdict of {asked.detector.detector}: it was not enabled then")
    if events.pending:
        told.append(f"{events.pending} events are not compared: score had not come to them")
    if events.missing:
        told.append(f"{events.missing} events have no recorded verdict of {asked.detector.detector}; see `weir status`")
    if events.failed:
        told.append(f"{events.failed} texts could not be scored and find nothing, as an error verdict of score would")
    told += [_behind(number, reached) for number, reached in sorted(found.behind.items())]
    if found.flips.total:
        told.append(
            f"{found.flips.total} decisions at the threshold flip with the last bits of a score; they are listed apart and "
            "count as they were recorded"
        )
    return told


def _moment(time: float | None) -> str:
    return "the log's beginning" if time is None else format_time(time)


def _expired(asked: ReplayRequest, left: Left) -> str:
    partitions = ", ".join(map(str, left.expired))
    since = "nowhere" if left.since is None else format_time(left.since)
    told = (
        f"part of the log has expired (partitions {partitions}): it is whole from {since} on, by when it was produced"
    )
    if asked.detector.over_streams and any(version.recorded for version in asked.versions):
        told += (
            "; the recorded findings rest on a reference from before, the replay on one of its own, so they may differ for "
            "that alone: give --against a version that is run too"
        )
    return told


def _behind(number: int, reached: float) -> str:
    where = f"partition {number}: watch had"
    return (
        f"{where} found nothing yet" if isinf(reached) else f"{where} come to {format_time(reached)}, compared so far"
    )
