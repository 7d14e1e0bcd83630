"""The open buckets (time windows) of one stream; the watermark closes them."""

import enum
from collections.abc import Iterator
from typing import Any

import msgspec

from detectors.base import Observation
from stream.stages.watch.bucket_schedule import OpenCounts
from stream.wire import ABORTED, Event, Signal


class Offer(enum.Enum):
    """The result of :meth:`StreamBuckets.offer`.

    ``HELD``: the event is kept until its bucket closes. ``LATE``: the event is dropped, because its bucket ended before
    the watermark or was closed early. ``REPEATED``: the event is dropped, because its bucket was already closed before
    a restart, although the watermark has not passed the bucket's end.
    """

    HELD = "held"
    LATE = "late"
    REPEATED = "repeated"


class Held(msgspec.Struct):
    """One event of an open bucket; `tokens` are its raw event and duplicates, acknowledged when the bucket closes.

    Of events with the same id, the earliest event is used; a substitute end record (of a dead source) only if there is
    no other.
    """

    aborted: bool
    observation: Observation
    request_id: str
    cause: str
    traceparent: str
    tokens: list[Any]

    def outranks(self, other: "Held") -> bool:
        """Return whether this event, not `other` with the same id, is used; the order of arrival has no effect."""
        return (self.aborted, self.observation.time) < (other.aborted, other.observation.time)


def observation_of(signal: Signal) -> Observation:
    """Return the part of `signal` that stream detectors read."""
    return Observation(
        id=signal.event_id,
        time=signal.time,
        features=signal.features,
        embedding=signal.embedding,
        principal=signal.principal,
        conversation=signal.conversation,
        embedding_version=signal.embedding_version,
        prompt=signal.prompt,
        turns=signal.turns,
    )


class StreamBuckets:
    """Buckets of one (tenant, model, side): bucket b has the event times in [b * seconds, (b + 1) * seconds).

    After the last bucket with events, `empty_limit` empty buckets are closed: enough for an alert to resolve, and few enough that an idle stream
    costs little. Which empty buckets are closed depends only on the events. `counts` are the totals of the partition. Memory: one observation
    per event of an open bucket. `closed_early` is the last bucket that was closed to bound memory, before the watermark passed it.
    """

    def __init__(
        self,
        seconds: float,
        empty_limit: int,
        last_closed: int | None = None,
        last_event: int | None = None,
        counts: OpenCounts | None = None,
    ) -> None:
        self.seconds = seconds
        self.empty_limit = empty_limit
        self.last_closed = last_closed
        self.last_event = last_event
        self.until = 0.0
        self.closed_early: int | None = None
        self._widths = {seconds}
        self._open: dict[int, dict[str, Held]] = {}
        self._counts = counts or OpenCounts()

    def number(self, time: float) -> int:
        """Return the number of the bucket that contains `time`."""
        return int(time // self.seconds)

    def continue_from(self, seconds: float, until: float) -> None:
        """Continue after buckets of another width `seconds`, which were closed up to event time `until`.

        Events of the last open bucket of that width are not late: they were not processed, and are delivered again.
        """
        self.until = until
        self._widths.add(seconds)

    def offer(self, event: Event, signal: Signal, token: Any, watermark: float | None) -> Offer:
        """Keep `signal` until its bucket closes, unless the bucket is already closed."""
        number = self.number(signal.time)
        if watermark is not None and all(signal.time // width < watermark // width for width in self._widths):
            return Offer.LATE
        if signal.time < self.until or (self.last_closed is not None and number <= self.last_closed):
            early = self.closed_early is not None and number <= self.closed_early
            return Offer.LATE if early else Offer.REPEATED
        self._counts.tokens += 1
        bucket = self._open.get(number)
        if bucket is None:
            bucket = self._open[number] = {}
            self._counts.buckets += 1
        held = Held(
            signal.status == ABORTED, observation_of(signal), signal.request_id, event.id, event.traceparent, [token]
        )
        known = bucket.setdefault(signal.event_id, held)
        if known is held:
            return Offer.HELD
        known.tokens.append(token)
        if held.outranks(known):
            held.tokens = known.tokens
            bucket[signal.event_id] = held
        return Offer.HELD

    @property
    def next_due(self) -> int | None:
        """The number of the next bucket to close, or None if no bucket is left. The bucket can be empty."""
        numbers = list(self._open)
        if self.last_event is not None and self.last_closed is not None:
            numbers += [self.last_closed + 1] * (self.last_closed < self.last_event + self.empty_limit)
        return min(numbers, default=None)

    @property
    def idle(self) -> bool:
        """Whether no bucket is open and all `empty_limit` empty buckets are closed."""
        return self.next_due is None

    def restart(self) -> None:
        """Forget the closed buckets, as if the first event of the stream were in an open bucket."""
        self.last_closed = self.last_event = self.closed_early = None
        self.until = 0.0

    def join(self, counts: OpenCounts) -> None:
        """Add the open buckets to `counts`; drop all tokens, because replayed events need no acknowledgement."""
        for bucket in self._open.values():
            for held in bucket.values():
                held.tokens.clear()
        counts.buckets += len(self._open)
        self._counts = counts

    def starts(self) -> list[float]:
        """Return the start of each open bucket."""
        return [number * self.seconds for number in self._open]

    def discard_newest(self) -> list[Any]:
        """Remove the newest open bucket without closing it, and return its tokens."""
        return [token for item in self._remove(max(self._open)) for token in item.tokens]

    def _remove(self, number: int) -> list[Held]:
        held = list(self._open.pop(number).values())
        self._counts.buckets -= 1
        self._counts.tokens -= sum(len(item.tokens) for item in held)
        return held

    def due(self, watermark: float) -> Iterator[tuple[int, list[Held]]]:
        """Close every bucket that ends at or before `watermark`.

        Yield the number of each bucket, and its events sorted by (time, id).
        """
        edge, self._widths = self.number(watermark), {self.seconds}
        for number in [*sorted(number for number in self._open if number < edge), edge]:
            yield from self._empty_before(number)
            if number < edge:
                held = self._remove(number)
                self.last_closed = self.last_event = number
                yield number, sorted(held, key=lambda item: (item.observation.time, item.observation.id))

    def _empty_before(self, end: int) -> Iterator[tuple[int, list[Held]]]:
        if self.last_event is None or self.last_closed is None:
            return
        for number in range(self.last_closed + 1, min(end, self.last_event + self.empty_limit + 1)):
            self.last_closed = number
            yield number, []
