"""The notes of a report: the limits of its comparison, such as expired records or events that were not compared."""

from math import isinf

import msgspec

from stream.count_text import count_text
from stream.replay.offset_ranges import RetainedLog
from stream.replay.plan import ReplayRequest
from stream.replay.report import EventCounts, Flips
from stream.replay.timeline import ReplayedAlert
from stream.wire import format_time


class ReplayResults(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts and numbers of findings, each as a pair: for the version to compare with, then for the version to run.

    `behind` is {partition: event time up to which watch had published findings} for the partitions in which watch had
    not reached the end of the range.
    """

    alerts: tuple[list[ReplayedAlert], list[ReplayedAlert]]
    findings: tuple[int, int]
    flips: Flips = msgspec.field(default_factory=Flips)
    behind: dict[int, float] = {}


def notes(request: ReplayRequest, log: RetainedLog, results: ReplayResults, events: EventCounts) -> list[str]:
    """Return one sentence for each limit of the comparison."""
    detector = request.detector.detector
    lines: list[str] = []
    if not events.read:
        start = "the oldest record" if request.start is None else format_time(request.start)
        lines.append(f"no events of tenant {request.tenant} from {start} to {format_time(request.until)}")
    if log.expired and (request.start is None or (log.since or 0.0) > request.start):
        lines.append(_expired(request, log))
    if events.read and not (events.compared or events.pending or events.expired):
        lines.append(f"no event of the range expects a verdict of {detector}: the detector was not enabled then")
    if events.pending:
        lines.append(f"{count_text(events.pending, 'event is', 'events are')} not compared: score had not reached them")
    if events.expired:
        lines.append(
            f"{count_text(events.expired, 'event is', 'events are')} not compared: Kafka deleted their verdicts; start later, or raise "
            "retention.bytes of the verdicts topic (docs/sizing.md)"
        )
    if events.missing:
        lines.append(
            f"{count_text(events.missing, 'event has', 'events have')} no recorded verdict of {detector}; see `weir status`"
        )
    if events.failed:
        lines.append(
            f"{count_text(events.failed, 'text has', 'texts have')} no score and so no finding, as after an error verdict of score"
        )
    lines += [_behind(number, reached) for number, reached in sorted(results.behind.items())]
    if results.flips.total:
        lines.append(
            f"{count_text(results.flips.total, 'decision at the threshold differs', 'decisions at the threshold differ')} by rounding of "
            "the score (listed separately); the recorded decision counts"
        )
    return lines


def _expired(request: ReplayRequest, log: RetainedLog) -> str:
    partitions = ", ".join(map(str, log.expired))
    since = "no time" if log.since is None else format_time(log.since)
    note = f"Kafka has deleted records (partitions {partitions}): they are complete from {since} on, by production time"
    if request.detector.over_streams and any(version.recorded for version in request.versions):
        note += (
            "; the recorded findings used an earlier reference than the replay, which alone can change alerts: compare with a version "
            "that is run too (--against)"
        )
    return note


def _behind(number: int, reached: float) -> str:
    if isinf(reached):
        return f"partition {number}: watch had published no finding"
    return f"partition {number}: watch had reached {format_time(reached)}; alerts are compared up to then"
