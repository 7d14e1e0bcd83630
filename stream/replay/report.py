"""What a replay says when it is done, and while it is on its way."""

from collections.abc import Callable

import msgspec

from stream.replay.alert_diff import AlertDiff
from stream.wire import LogRange

__all__ = ["LISTED_FLIPS", "EventCounts", "Flip", "Flips", "Observe", "Progress", "Report", "RunStatistics", "VersionSummary"]

#: Flips that are listed; more are counted.
LISTED_FLIPS = 1000


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """An event at the threshold that two scorings of one version decide differently; it is counted as it was recorded."""

    request_id: str
    tenant: str
    model: str
    side: str
    recorded: float
    scored: float
    threshold: float


class Flips(msgspec.Struct, kw_only=True):
    """How many flips there were, and the first thousand (mutable: they are counted up)."""

    total: int = 0
    events: list[Flip] = []

    def add(self, flip: Flip) -> None:
        """Count one."""
        self.total += 1
        if len(self.events) < LISTED_FLIPS:
            self.events.append(flip)


class EventCounts(msgspec.Struct, kw_only=True):
    """What was read (mutable: it is counted up).

    Attributes
    ----------
    read
        Events of the tenants asked for, in the range and its warm-up.
    compared
        Those on which both versions decided.
    failed
        Texts that could not be scored; their verdict is an error, as score's would be.
    pending
        Events that score had not come to: they are not compared.
    missing
        Events that score went past without a verdict of this detector.
    skipped
        Records that cannot be read, or that came before.
    first, last
        Event times of the first and the last event.
    """

    read: int = 0
    compared: int = 0
    failed: int = 0
    pending: int = 0
    missing: int = 0
    skipped: int = 0
    first: float | None = None
    last: float | None = None

    def event(self, time: float) -> None:
        """Count an event that was read."""
        self.read += 1
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)


class VersionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A version, as the report names it; `findings` counts its alarms, `alerts` what opened in the range."""

    name: str
    version: str
    findings: int
    alerts: int


class RunStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How this run went: the one part of a report that another run of the same replay need not repeat.

    Attributes
    ----------
    records
        Of the topic that is replayed, ticks included.
    events_per_second, recorded_events_per_second, ratio
        How fast events were read, how fast they had arrived (in log time), and how many times as fast that is.
    """

    seconds: float
    records: int
    events_per_second: float
    recorded_events_per_second: float | None
    ratio: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """The result of a replay; `topic` is the shadow topic, None where nothing was published."""

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


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay is.

    Attributes
    ----------
    done, total
        Records of the topic that is replayed.
    events_per_second
        Events read a second so far.
    left_seconds
        What is left at the pace so far; None before there is one.
    """

    done: int
    total: int
    events_per_second: float
    left_seconds: float | None


Observe = Callable[[Progress], None]
