"""What the log says of itself: how far it has come, what ended, what could not be delivered."""

from typing import ClassVar

from stream.wire.events.base import Count, EventData, Int64, Seconds

__all__ = ["Closed", "GapRecord", "Tick"]


class GapRecord(EventData, frozen=True, kw_only=True):
    """Records that were accepted but cannot be delivered: counted, with their range, never silent."""

    event_type: ClassVar[str] = "weir.capture.gap.v1"

    source: str
    first_number: Count
    last_number: Count
    count: Count
    reason: str
    request_ids: tuple[str, ...] = ()


class Tick(EventData, frozen=True, kw_only=True):
    """Progress: everything older than the times it carries has been published by `stage` to this partition before it.

    ``capture``: `sources` is {its own source: T}, "nothing older than T will come from this source", and `spool` how much of its
    spool's bound is taken, reserved room included, in [0, 1]. ``score`` forwards what it read from inference partition `partition` since the last one, with the sources that `closed`. ``watch`` forwards its
    `watermark` from signals partition `partition` to the same partition of findings.
    """

    event_type: ClassVar[str] = "weir.tick.v1"

    stage: str = "capture"
    partition: Int64 = -1
    sources: dict[str, Seconds] = {}
    closed: tuple[str, ...] = ()
    watermark: Seconds | None = None
    spool: float = 0.0


class Closed(EventData, frozen=True, kw_only=True):
    """`source` has ended: nothing more will come from it."""

    event_type: ClassVar[str] = "weir.closed.v1"

    source: str
    time: Seconds
