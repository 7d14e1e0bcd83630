"""Ticks, ends of sources, and gaps."""

from typing import ClassVar

from stream.wire.events.base import Count, EventData, Int64, Seconds

__all__ = ["Closed", "GapRecord", "Tick"]


class GapRecord(EventData, frozen=True, kw_only=True):
    """A count of accepted records that cannot be delivered, with their range of numbers."""

    event_type: ClassVar[str] = "weir.capture.gap.v1"

    source: str
    first_number: Count
    last_number: Count
    count: Count
    reason: str
    request_ids: tuple[str, ...] = ()


class Tick(EventData, frozen=True, kw_only=True):
    """Progress: `stage` has published everything older than these times to this partition.

    ``capture``: `sources` is {its source: T}; the source will send nothing older than T. `spool` is the used share of
    its spool, reserved space included, in [0, 1]. ``score``: `sources` and `closed` are what it read from inference
    partition `partition` since its last tick. ``watch``: `watermark` is that of signals partition `partition`,
    published to the same partition of findings.
    """

    event_type: ClassVar[str] = "weir.tick.v1"

    stage: str = "capture"
    partition: Int64 = -1
    sources: dict[str, Seconds] = {}
    closed: tuple[str, ...] = ()
    watermark: Seconds | None = None
    spool: float = 0.0


class Closed(EventData, frozen=True, kw_only=True):
    """`source` has ended and will send nothing more."""

    event_type: ClassVar[str] = "weir.closed.v1"

    source: str
    time: Seconds
