"""Ends a worker that has work and does none.

Why this exists: Faust's recovery can hang, its consumer can die slowly, and neither resumes after every broker outage
(faults.md, trap 8). A supervisor starts the worker anew; at-least-once makes that safe. The watchdog asks the broker through
a client of its own, since the one that it watches may be what is dead, and it pauses while the broker is away.

It also ends a worker whose log is shorter than what it has read: the volume was deleted, or the topics were made anew. Such a
worker would wait for the old offsets and commit nothing, for as long as the new log is shorter.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.kafka.clients import stop_consumer
from stream.kafka.stall import StallDetector
from stream.runtime.app import BaseApp

__all__ = ["EXIT_STALLED", "Watchdog", "end_process"]

EXIT_STALLED = 70

_log = logging.getLogger(__name__)
_PROBE_SECONDS = 5.0
#: A new leader may know of less than was read, for a moment.
_SHORTER_LOOKS = 3


def end_process(reason: str) -> None:
    """Exit at once with :data:`EXIT_STALLED`: a worker that hangs may hang in stopping too."""
    _log.critical("%s; ending this worker, its supervisor starts it anew", reason)
    logging.shutdown()
    os._exit(EXIT_STALLED)


class Watchdog:
    """Looks at one app every few seconds.

    Parameters
    ----------
    app
        Whose `progress_count`, assignment and `watchdog_seconds` count.
    end
        Called with the reason once the bound is passed.
    """

    def __init__(self, app: BaseApp, end: Callable[[str], None] = end_process) -> None:
        self._app = app
        self._end = end
        self._stall = StallDetector(app.watchdog_seconds)
        self._pause = min(_PROBE_SECONDS, app.watchdog_seconds / 4)
        self._client: AIOKafkaConsumer | None = None
        self._beginnings: dict[TopicPartition, int] = {}
        self._shorter = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                work = await self._waiting()
                if self._stall.observe(now=time.monotonic(), progress=self._app.progress_count, work=work > 0):
                    self._end(f"{work} records wait and none was finished for {self._app.watchdog_seconds:.0f} s")
                await asyncio.sleep(self._pause)
        finally:
            await self._close()

    async def _waiting(self) -> int:
        """Return how many records wait for this worker: undelivered and open ones less those held on purpose."""
        consumer = self._app.started_consumer
        if consumer is None or consumer.tracker.generation is None or self._app.rebalancing:
            return 1 if await self._broker_answers() else 0
        partitions = [tp for tp in consumer.tracker.partitions if self._app.topics.acks_enabled_for(tp.topic)]
        ends = await self._ends([TopicPartition(*tp) for tp in partitions])
        if ends is None:
            return 0
        total = sum(consumer.tracker.open_count(tp) for tp in partitions) - self._app.held()
        done = {tp: consumer.tracker.delivered(tp) or consumer.committed(tp) or 0 for tp in partitions}
        self._look_for_cut({f"{tp.topic}-{tp.partition}": (done[tp], ends[TopicPartition(*tp)]) for tp in partitions})
        for tp in partitions:
            first = self._beginnings.get(TopicPartition(*tp), 0)
            total += max(0, ends[TopicPartition(*tp)] - max(done[tp], first))
        return total

    def _look_for_cut(self, places: Mapping[str, tuple[int, int]]) -> None:
        """End the worker where `places` (name to what was read, and the end) were shorter than what was read for some looks."""
        cut = [f"{name} ends at {end}, {done} were read" for name, (done, end) in places.items() if end < done]
        self._shorter = self._shorter + 1 if cut else 0
        if self._shorter >= _SHORTER_LOOKS:
            self._end(f"the log was deleted or cut: {', '.join(cut)}")

    async def _ends(self, partitions: list[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """Return the end offsets, or None where the broker does not answer."""
        try:
            client = await asyncio.wait_for(self._connected(), _PROBE_SECONDS)
            self._beginnings = await asyncio.wait_for(client.beginning_offsets(partitions), _PROBE_SECONDS)
            ends: Mapping[TopicPartition, int] = await asyncio.wait_for(client.end_offsets(partitions), _PROBE_SECONDS)
        except (KafkaError, OSError, TimeoutError):
            await self._close()
            return None
        return ends

    async def _broker_answers(self) -> bool:
        names = list(self._app.sources)[:1]
        return await self._ends([TopicPartition(name, 0) for name in names]) is not None

    async def _connected(self) -> AIOKafkaConsumer:
        if self._client is None:
            options: dict[str, Any] = self._app.kafka.client_options()
            self._client = AIOKafkaConsumer(**options, request_timeout_ms=int(_PROBE_SECONDS * 1000))
            await self._client.start()
        return self._client

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                await asyncio.wait_for(stop_consumer(client), _PROBE_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                _log.debug("closing the watchdog's client: %s", type(error).__name__)
