"""Progress events: ticks, the ends of sources, and gaps (counts of lost records)."""

from typing import Annotated, ClassVar

import msgspec

from stream.wire.events.base import Count, EventData, Int64, Seconds


class GapRecord(EventData, frozen=True, kw_only=True):
    """The number of accepted records of `source` that cannot be delivered, with their first and last sequence numbers."""

    event_type: ClassVar[str] = "weir.capture.gap.v1"

    source: str
    first_number: Count
    last_number: Count
    count: Count
    reason: Annotated[str, msgspec.Meta(examples=["full", "disk", "oversize", "damaged"])]
    request_ids: tuple[str, ...] = ()


class Tick(EventData, frozen=True, kw_only=True):
    """The progress of `stage`, which has published to this partition all its events older than the tick's times.

    The meaning of the fields depends on the stage:

    - ``capture``: `sources` is {its source: T}; no later event of the source is older than T. `spool` is the used share
      of its spool, reserved space included, in [0, 1].
    - ``score``: the fields describe the records of inference partition `partition` that the stage has read since its
      last tick. `sources` has the times of the capture ticks, `closed` the sources that have ended. `logged` is the
      timestamp of the newest of these records in Kafka.
    - ``watch``: `watermark` is the watermark of signals partition `partition`; the tick is on the same partition of
      findings.
    """

    event_type: ClassVar[str] = "weir.tick.v1"

    stage: Annotated[str, msgspec.Meta(examples=["capture", "score", "watch"])] = "capture"
    partition: Int64 = -1
    sources: dict[str, Seconds] = {}
    closed: tuple[str, ...] = ()
    watermark: Seconds | None = None
    spool: float = 0.0
    logged: Seconds | None = None


class Closed(EventData, frozen=True, kw_only=True):
    """The end of `source`, which sends no more events."""

    event_type: ClassVar[str] = "weir.closed.v1"

    source: str
    time: Seconds
