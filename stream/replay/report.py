"""The report of a replay, and its progress."""

from collections.abc import Callable

import msgspec

from stream.replay.alert_diff import AlertDiff
from stream.wire import LogRange

#: Flips that are listed; all are counted.
LISTED_FLIPS = 1000


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """An event whose score is so near the threshold that rounding changed the decision.

    The replay uses the recorded decision and score. `threshold` is that of the version or of the tenant's alerts. The
    parts are from the two verdicts; `recorded_part` is "" if the verdict was recorded for the joined text.
    """

    request_id: str
    tenant: str
    model: str
    side: str
    recorded: float
    scored: float
    threshold: float
    recorded_part: str = ""
    scored_part: str = ""


class Flips(msgspec.Struct, kw_only=True):
    """The number of flips, and the first thousand flips."""

    total: int = 0
    events: list[Flip] = []

    def add(self, flip: Flip) -> None:
        """Count a flip."""
        self.total += 1
        if len(self.events) < LISTED_FLIPS:
            self.events.append(flip)


class EventCounts(msgspec.Struct, kw_only=True):
    """Numbers of events of the requested tenants.

    - `read`: events in the range or its warm-up.
    - `compared`: events on which both versions decided.
    - `failed`: texts that could not be scored; their verdict is an error, as in the score stage.
    - `pending`: events that are not compared, because score had not reached them.
    - `expired`: events that are not compared, because their verdicts were deleted from the log.
    - `missing`: events for which score published no verdict.
    - `skipped`: unreadable or duplicate records.

    `first` and `last` are the smallest and the largest event time.
    """

    read: int = 0
    compared: int = 0
    failed: int = 0
    pending: int = 0
    expired: int = 0
    missing: int = 0
    skipped: int = 0
    first: float | None = None
    last: float | None = None

    def event(self, time: float) -> None:
        """Count an event that was read, with its event time."""
        self.read += 1
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)


class VersionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One version in the report, with its numbers of `findings` (alarms) and `alerts` (opened in the range)."""

    name: str
    version: str
    findings: int
    alerts: int


class RunStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Speed of this run: the only part of a report that differs between two runs of the same replay.

    `records` includes ticks. `ratio` is `events_per_second` of the replay, divided by `recorded_events_per_second`: the
    events per second of event time in the log.
    """

    seconds: float
    records: int
    events_per_second: float
    recorded_events_per_second: float | None
    ratio: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """The result of a replay; `topic` is the shadow topic, or None if nothing was published."""

    replay_id: str
    detector: VersionSummary
    against: VersionSummary
    since: float
    until: float
    warm_up_seconds: float | None
    tenant: str
    topic: str | None
    offsets: tuple[LogRange, ...]
    events: EventCounts
    diff: AlertDiff
    flips: Flips
    notes: list[str]
    run: RunStatistics


#: Receives the numbers of records read and of all records.
Observe = Callable[[int, int], None]
