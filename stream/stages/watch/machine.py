"""The watch stage without Kafka, on one partition: it applies signals and ticks, and returns findings and states.

The results must be a function of the log, independent of crashes, duplicates and the order between partitions.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from detectors.base import StreamDetector
from stream.errors import StateUnreadable
from stream.settings import TenantSettings
from stream.stages.shared.state_codec import encode
from stream.stages.watch.bucket_schedule import BucketSchedule, OpenCounts
from stream.stages.watch.buckets import Offer, StreamBuckets
from stream.stages.watch.state import SourcesState, StreamState, decode_stream
from stream.stages.watch.stream_limit import StreamLimit
from stream.stages.watch.watched_stream import WatchedStream
from stream.stages.watch.watermark import Watermark
from stream.wire import OWN_TENANT, Event, Signal, Tick, stream_key

Tenants = Callable[[str], TenantSettings]
Detectors = Callable[[TenantSettings], dict[str, StreamDetector[Any]]]


class ClosedStream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream with newly closed buckets: publish `findings`, then write `state`, then acknowledge `tokens`.

    `state` is empty if there is nothing to write.
    """

    key: str
    findings: list[Event]
    state: bytes
    tokens: list[Any]


class WatchRules(msgspec.Struct, frozen=True, kw_only=True):
    """The stage's rules; `partitions` is the number of inference partitions.

    `detectors` creates the detectors of a tenant.
    """

    partitions: int
    source_silence_seconds: float
    tenants: Tenants
    detectors: Detectors


class PartitionWatch:
    """All streams of one signals partition.

    If `only` is not None, events of other streams are ignored. `stored` returns the table value of a stream, or None if
    there is no value. If `stored` is given, idle streams are kept only in the table, not in memory.
    """

    def __init__(
        self,
        rules: WatchRules,
        *,
        only: frozenset[str] | None = None,
        stored: Callable[[str], bytes | None] | None = None,
    ) -> None:
        self._rules = rules
        self._only = only
        self._stored = stored
        self._streams: dict[str, WatchedStream] = {}
        self._schedule = BucketSchedule()
        self._retired: set[str] = set()
        self._limit = StreamLimit()
        self.open = OpenCounts()
        self.watermark = Watermark(rules.partitions, rules.source_silence_seconds)
        self.offset = -1

    def resume(self, stored: SourcesState) -> bool:
        """Continue from the stored watermark; return False if `stored` has another number of partitions.

        The watermark decides which events are late, so it must be the same after a restart. In the stored stream
        states, every bucket before the watermark is closed.
        """
        if not self.watermark.restore(stored.lanes, stored.value):
            return False
        self.offset = stored.offset
        return True

    def load(self, key: str, value: bytes) -> None:
        """Continue a stream from its table value; :meth:`lost` returns the unreadable states."""
        stream = self._loaded(key, value)
        if self._stored is None or stream.lost or not stream.buckets.idle:
            self._keep(stream)

    def _loaded(self, key: str, value: bytes) -> WatchedStream:
        try:
            stored = decode_stream(value)
        except StateUnreadable:
            stream = self._new(key, None)
            stream.lost = set(stream.detectors)
        else:
            stream = self._new(key, stored)
            stream.restore(stored)
            self._note_use(stream)
        return stream

    def _keep(self, stream: WatchedStream) -> None:
        self._streams[stream.key] = stream
        self._schedule.note(stream.key, stream.buckets.seconds, stream.buckets.next_due)

    def _note_use(self, stream: WatchedStream) -> None:
        if stream.buckets.last_event is not None:
            self._limit.closed(stream.key, (stream.buckets.last_event + 1) * stream.buckets.seconds)

    def _stream(self, key: str) -> WatchedStream:
        """Return a stream: from memory, from its table value, or a new one."""
        stream = self._streams.get(key)
        if stream is None:
            value = self._stored(key) if self._stored is not None else None
            stream = self._new(key, None) if value is None else self._loaded(key, value)
            stream.announce |= stream.lost  # the state was readable at assignment
            stream.lost.clear()
            self._streams[key] = stream
        return stream

    def lost(self) -> dict[str, set[str]]:
        """Return {stream key: detectors whose state could not be read}."""
        return {key: set(stream.lost) for key, stream in self._streams.items() if stream.lost}

    def replayer(self) -> "PartitionWatch":
        """Return a new machine for the lost streams. Let it :meth:`replay` the log, then pass it to :meth:`adopt`."""
        return PartitionWatch(self._rules, only=frozenset(self.lost()))

    def replay(self, event: Event) -> None:
        """Apply an event of the retained log to rebuild the state; discard the findings."""
        if isinstance(event.data, Tick):
            if self.tick(event.data):
                for _ in self.closed(snapshot=False):
                    pass
        else:
            self.offer(event, None)

    def adopt(self, replay: "PartitionWatch") -> Iterator[tuple[str, bytes | None]]:
        """Take the lost states from the machine `replay`; their detectors report a reset with the next bucket.

        Yield the key of each stream without open buckets and the state to write, or None if the log has no event of the stream. Without
        this write, a stream without further events would be rebuilt at each assignment, and lost when its signals expire.
        """
        for key, names in self.lost().items():
            stream, rebuilt = self._streams[key], replay._streams.get(key)  # noqa: SLF001 - the same class
            if rebuilt is not None and stream.buckets.last_closed is None:
                stream.buckets = rebuilt.buckets
                stream.buckets.join(self.open)
            elif rebuilt is not None:
                _catch_up(rebuilt, stream.buckets, replay)
            if rebuilt is not None:
                stream.detectors |= {name: rebuilt.detectors[name] for name in names}
            stream.announce |= names
            stream.lost.clear()
            self._keep(stream)
            self._note_use(stream)
            for start in stream.buckets.starts():
                self._schedule.opened(key, start)
            if not stream.buckets.starts():
                yield key, None if stream.buckets.last_closed is None else encode(stream.state())

    def offer(self, event: Event, token: Any) -> Offer:
        """Offer a signal to its stream; if the result is `Offer.HELD`, `token` is kept until the bucket closes."""
        signal = event.data
        assert isinstance(signal, Signal)
        key = stream_key(signal.tenant, signal.model, signal.side, signal.part, signal.model_version)
        if self._only is not None and key not in self._only:
            return Offer.LATE
        stream, before = self._stream(key), self.open.buckets
        offer = stream.buckets.offer(event, signal, token, self.watermark.value)
        if self.open.buckets != before:
            self._schedule.note(key, stream.buckets.seconds, stream.buckets.next_due)
            self._schedule.opened(key, stream.buckets.number(signal.time) * stream.buckets.seconds)
        elif stream.buckets.idle:
            self._retired.add(key)
        return offer

    def remove_surplus(self) -> list[str]:
        """Forget the closed buckets and detectors of the longest unused streams above the limit; open buckets are kept.

        Return the keys of these streams. Call this method before each tick. The caller must first write the watermark,
        and then delete the table values, before it applies the tick. The result depends only on the watermark and the
        table values, so a restart between these writes changes nothing.
        """
        removed = self._limit.remove(self.watermark.value or 0.0)
        for key in removed:
            if (stream := self._streams.get(key)) is not None:
                stream.buckets.restart()
                stream.detectors = self._fresh(key)
                stream.announce.clear()
                self._keep(stream)
                self._retired.add(key)
        return removed

    def tick(self, tick: Tick, offset: int | None = None) -> bool:
        """Apply a tick of score (progress in event time), unless `offset` was applied before.

        Return whether the watermark advanced. If it did, the caller must call :meth:`closed`.
        """
        if offset is not None:
            if offset <= self.offset:
                return False
            self.offset = offset
        return self.watermark.apply(tick)

    def closed(self, *, snapshot: bool = True) -> Iterator[ClosedStream]:
        """Close the buckets before the watermark, and yield the result of each stream."""
        if self.watermark.value is None:
            return
        self._forget_retired()
        for key in self._schedule.due(self.watermark.value):
            closed = self._close(self._streams[key], self.watermark.value, snapshot=snapshot)
            if closed is not None:
                yield closed
        self._open_bucket()

    def _forget_retired(self) -> None:
        """Drop from memory the streams that were idle after the last tick; the states of these streams are stored."""
        for key in self._retired if self._stored is not None else ():
            stream = self._streams.get(key)
            if stream is not None and stream.buckets.idle and not stream.announce:
                del self._streams[key]
        self._retired.clear()

    def _open_bucket(self, *, newest: bool = False) -> tuple[float, WatchedStream] | None:
        """Return the start and the stream of the oldest (or newest) open bucket; drop closed buckets from the schedule."""
        while (edge := self._schedule.edge(newest=newest)) is not None:
            start, key = edge
            stream = self._streams.get(key)
            if stream is not None and start in stream.buckets.starts():
                return start, stream
            self._schedule.drop_edge(newest=newest)
        return None

    def far_ahead(self) -> WatchedStream | None:
        """Return the stream of the newest open bucket if the bucket is more than the silence limit ahead of the slowest source."""
        newest, slowest = self._open_bucket(newest=True), self.watermark.slowest
        if newest is None or slowest is None or newest[0] <= slowest + self._rules.source_silence_seconds:
            return None
        return newest[1]

    def relieve(self) -> ClosedStream | None:
        """Remove one open bucket, to bound memory: discard the newest if it is far ahead, else close the oldest early.

        A source whose clock is ahead can fill an hour of buckets. If the oldest buckets were closed instead, the events
        of all other sources would be dropped until event time reaches this source's time.
        """
        if (ahead := self.far_ahead()) is not None:
            return self._discard(ahead)
        oldest = self._open_bucket()
        if oldest is None:
            return None
        start, stream = oldest
        closed = self._close(stream, start + stream.buckets.seconds * 1.5, snapshot=True)
        stream.buckets.closed_early = stream.buckets.last_closed
        return closed

    def _discard(self, stream: WatchedStream) -> ClosedStream:
        self._schedule.drop_edge(newest=True)
        tokens = stream.buckets.discard_newest()
        self._schedule.note(stream.key, stream.buckets.seconds, stream.buckets.next_due)
        if stream.buckets.idle:
            self._retired.add(stream.key)
        return ClosedStream(key=stream.key, findings=[], state=b"", tokens=tokens)

    def _close(self, stream: WatchedStream, watermark: float, *, snapshot: bool) -> ClosedStream | None:
        findings: list[Event] = []
        tokens: list[Any] = []
        count = 0
        for number, held in stream.buckets.due(watermark):
            count += 1
            findings += stream.run(number, held, lambda name: self._fresh(stream.key)[name])
            tokens += [token for item in held for token in item.tokens]
        self._schedule.note(stream.key, stream.buckets.seconds, stream.buckets.next_due)
        if stream.buckets.idle:
            self._retired.add(stream.key)
        if not count:
            return None
        self._note_use(stream)
        state = encode(stream.state()) if snapshot else b""
        return ClosedStream(key=stream.key, findings=findings, state=state, tokens=tokens)

    def _fresh(self, key: str) -> dict[str, StreamDetector[Any]]:
        """Return new detectors for a stream of a side; Weir's own tenant and users' tenants have different detectors."""
        tenant, _, side = key.split("\x1f")[:3]
        made = self._rules.detectors(self._rules.tenants(tenant))
        return {
            name: detector
            for name, detector in made.items()
            if detector.own_tenant == (tenant == OWN_TENANT) and side in detector.sides
        }

    def _new(self, key: str, stored: StreamState | None) -> WatchedStream:
        settings = self._rules.tenants(key.split("\x1f", 1)[0])
        seconds, empty_limit = settings.bucket_seconds, settings.alerts.close_windows
        if stored is None:
            buckets = StreamBuckets(seconds, empty_limit, counts=self.open)
        else:
            resized = stored.resized(seconds)
            buckets = StreamBuckets(seconds, empty_limit, resized.last_closed, resized.last_event, self.open)
            buckets.continue_from(stored.seconds, resized.until)
        return WatchedStream(key, buckets, self._fresh(key))


def _catch_up(rebuilt: WatchedStream, stored: StreamBuckets, replay: PartitionWatch) -> None:
    """Apply to `rebuilt` the events of the buckets that `stored` closed; the replayed ticks may not have closed all of them.

    After a change of the width, these are also the events before `stored.until` in the bucket after the last closed one.
    """
    assert stored.last_closed is not None
    seconds = rebuilt.buckets.seconds
    replay._close(rebuilt, (stored.last_closed + 1.5) * seconds, snapshot=False)  # noqa: SLF001 - the same module
    for number, held in rebuilt.buckets.due((stored.last_closed + 2.5) * seconds):
        if former := [item for item in held if item.observation.time < stored.until]:
            rebuilt.run(number, former, lambda name: replay._fresh(rebuilt.key)[name])  # noqa: SLF001 - the same module
