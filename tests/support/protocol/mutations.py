"""Our code with one promise broken each: the model must find every one of them, or it proves nothing."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import serving.capture.adopt_spool
import stream.ledger.shard
from serving.capture.pipeline import Pipeline
from serving.capture.segment import segment_path, segments
from serving.capture.spool_writer import SpoolWriter
from stream.kafka.ack_tracker import AckTracker
from stream.runtime.table import AckedTable
from stream.stages.alert.machine import Alerting
from stream.stages.score.agent import ScoreAgent
from stream.stages.score.ticks import TickLine
from stream.stages.watch.agent import WatchStage
from stream.stages.watch.buckets import Offer, StreamBuckets
from stream.stages.watch.machine import PartitionWatch

__all__ = ["FAVOURED", "MUTATIONS", "mutated"]

_Patches = list[Any]


def _publish_after_ack() -> _Patches:
    """Let score settle an event before its outputs are published."""
    finish = ScoreAgent._finish

    async def settled_first(self: Any, raw: Any, event: Any) -> None:
        self._app.acknowledge(raw)
        await finish(self, raw, event)

    return [mock.patch.object(ScoreAgent, "_finish", settled_first)]


def _state_before_publish() -> _Patches:
    """Let watch write the state of a bucket before its findings are published."""
    finish = WatchStage._finish

    async def written_first(self: Any, place: Any, closed: Any, raw: Any) -> None:
        await self._table.put(closed.key.encode(), closed.state, partition=place.number)
        await finish(self, place, closed, raw)

    return [mock.patch.object(WatchStage, "_finish", written_first)]


def _cursor_before_ack() -> _Patches:
    """Move the cursor over what was sent, acknowledged or not."""
    send = Pipeline._send

    async def moved_first(self: Any, lease: Any, item: Any) -> None:
        await send(self, lease, item)
        self.cursor = item.cursor

    return [mock.patch.object(Pipeline, "_send", moved_first)]


def _unlink_before_cursor() -> _Patches:
    """Free segments before the cursor says that they are delivered."""
    save = Pipeline._save

    async def freed_first(self: Any) -> None:
        for index in segments(self._directory):
            if index < self.cursor.segment:
                segment_path(self._directory, index).unlink(missing_ok=True)
        await save(self)

    return [mock.patch.object(Pipeline, "_save", freed_first)]


def _findings_not_deduplicated() -> _Patches:
    """Forget which findings were counted."""
    finding = Alerting.finding

    def forgetful(self: Any, state: Any, event: Any, offset: int) -> Any:
        if event.data.bucket is None:
            state.held = []
        return finding(self, state, event, offset)

    return [mock.patch.object(Alerting, "finding", forgetful)]


def _closed_bucket_check_off() -> _Patches:
    """Take events of buckets that are closed."""
    offer = StreamBuckets.offer

    def taken(self: Any, event: Any, signal: Any, token: Any, watermark: Any) -> Offer:
        closed, self.last_closed = self.last_closed, None
        try:
            return offer(self, event, signal, token, None)
        finally:
            self.last_closed = closed

    return [mock.patch.object(StreamBuckets, "offer", taken)]


def _nothing_aborted() -> _Patches:
    """Let an adopter close a spool without an end for what is open."""

    class Forgetful(SpoolWriter):
        def finish(self) -> None:
            self._open.clear()
            super().finish()

    return [mock.patch.object(serving.capture.adopt_spool, "SpoolWriter", Forgetful)]


def _ledger_counts_repeats() -> _Patches:
    """Let the ledger take a repeated event for a new one."""
    insert = stream.ledger.shard._INSERT_EVENT.replace("IGNORE", "REPLACE")
    return [mock.patch.object(stream.ledger.shard, "_INSERT_EVENT", insert)]


#: What is broken, by name; the simple ones are one patch.
MUTATIONS: dict[str, Callable[[], _Patches]] = {
    "commit cap off": lambda: [mock.patch.object(AckTracker, "position", AckTracker.delivered)],
    "publish after ack": _publish_after_ack,
    "state before publish": _state_before_publish,
    "cursor before ack": _cursor_before_ack,
    "unlink before cursor": _unlink_before_cursor,
    "findings not deduplicated": _findings_not_deduplicated,
    "closed-bucket check off": _closed_bucket_check_off,
    "tick too early": lambda: [mock.patch.object(TickLine, "_first_open", return_value=float("inf"))],
    "nothing aborted": _nothing_aborted,
    "ledger counts repeats": _ledger_counts_repeats,
    "stale states recovered": lambda: [mock.patch.object(AckedTable, "_order", return_value=0.0)],
    "watermark forgotten": lambda: [mock.patch.object(PartitionWatch, "resume", return_value=False)],
    "cursor not durable": lambda: [mock.patch("serving.capture.pipeline.save_cursor", return_value=None)],
}


#: What happens more often, where a mutation needs it to be seen soon.
FAVOURED: dict[str, dict[str, int]] = {
    "state before publish": {"kill watch": 6},
    "unlink before cursor": {"kill shipper": 8, "request": 2},
    "findings not deduplicated": {"duplicate": 8},
    "stale states recovered": {"stop watch": 10, "scale": 6},
}


@contextlib.contextmanager
def mutated(name: str) -> Iterator[None]:
    """Break one promise."""
    with contextlib.ExitStack() as stack:
        for patch in MUTATIONS[name]():
            stack.enter_context(patch)
        yield
