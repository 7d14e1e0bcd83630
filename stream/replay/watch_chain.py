"""The watch stage without Kafka, for replays: it uses the stage's machine, so a replay decides as the stage does."""

from collections.abc import Iterator

from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.stages.watch.records import watermark_tick
from stream.wire import Event, Signal, Tick

#: Event time between two ticks of the watch stage.
_TICK_SECONDS = 1.0


class WatchChain:
    """Turns the records of one partition of signals into findings and ticks.

    If open buckets contain more than `outstanding` events, the oldest bucket closes early, as in the stage.
    """

    def __init__(self, rules: WatchRules, outstanding: int = 50_000) -> None:
        self._machine = PartitionWatch(rules)
        self._outstanding = outstanding
        self._ticked_at: float | None = None

    @property
    def watermark(self) -> float | None:
        """The watermark, or None until every partition of inference has sent a tick."""
        return self._machine.watermark.value

    def feed(self, event: Event) -> Iterator[Event]:
        """Apply a signal or a tick of score, and yield the resulting findings and ticks."""
        if isinstance(event.data, Signal):
            self._machine.offer(event, None)
            while self._machine.open.tokens > self._outstanding and (early := self._machine.relieve()) is not None:
                yield from early.findings
        elif isinstance(event.data, Tick):
            self._machine.remove_surplus()
            if self._machine.tick(event.data):
                for closed in self._machine.closed(snapshot=False):
                    yield from closed.findings
                yield from self._tick()

    def _tick(self) -> Iterator[Event]:
        watermark = self._machine.watermark.value
        assert watermark is not None
        if self._ticked_at is not None and watermark < self._ticked_at + _TICK_SECONDS:
            return
        self._ticked_at = watermark
        yield watermark_tick(0, watermark)
