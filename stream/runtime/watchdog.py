"""Ends a worker that has work and makes no progress, as a whole or in one topic.

Faust's recovery can hang and its consumer can stop, for example after a broker outage; one agent can hang while others
work. The supervisor starts an ended worker again, which is safe, because delivery is at least once. The watchdog has its
own Kafka client, because the worker's client may be the part that hangs. While the broker cannot be reached, the watchdog
ends no worker.

The watchdog also ends a worker whose offset is past the end of the log. This happens if the volume was deleted or the
topics were recreated. Such a worker would wait for the old offsets and commit nothing.
"""

import asyncio
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from stream.count_text import count_text
from stream.kafka.clients import BROKER_ERRORS, consumer_for
from stream.kafka.stall import StallDetector
from stream.runtime.app import BaseApp

EXIT_STALLED = 70

_log = logging.getLogger(__name__)
_PROBE_SECONDS = 5.0
#: Number of consecutive checks; a new partition leader may report fewer records for a moment.
_CUT_LOOKS = 3


def end_process(reason: str) -> None:
    """Exit at once with :data:`EXIT_STALLED`; an orderly stop may hang too."""
    _log.critical("%s; ending this worker, its supervisor starts it again", reason)
    logging.shutdown()
    os._exit(EXIT_STALLED)


class Watchdog:
    """Checks one app every few seconds. If the worker must end, calls `end` with the reason."""

    def __init__(self, app: BaseApp, end: Callable[[str], None] = end_process) -> None:
        self._app = app
        self._end = end
        self._stalls: defaultdict[str, StallDetector] = defaultdict(lambda: StallDetector(app.watchdog_seconds))
        self._pause = min(_PROBE_SECONDS, app.watchdog_seconds / 4)
        self._cut_looks = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                options = self._app.kafka.client_options()
                async with consumer_for(options, request_timeout_ms=int(_PROBE_SECONDS * 1000)) as client:
                    while True:
                        async with asyncio.timeout(2 * _PROBE_SECONDS):
                            self._observe(await self._waiting(client))
                        await asyncio.sleep(self._pause)
            except BROKER_ERRORS as error:
                _log.debug("the watchdog's client: %s", type(error).__name__)
            self._observe({})
            await asyncio.sleep(self._pause)

    def _observe(self, waiting: Mapping[str, int]) -> None:
        """Compare `waiting` with the progress since the last checks; a subject that it lacks has no work."""
        now = time.monotonic()
        for subject in self._stalls.keys() | waiting.keys():
            work = waiting.get(subject, 0)
            if self._stalls[subject].observe(now=now, progress=self._app.progress_of(subject), work=work > 0):
                of = f" of {subject}" if subject else ""
                waiting_seconds = self._app.watchdog_seconds
                self._end(
                    f"{count_text(work, 'unfinished record')}{of}, and none was finished for {waiting_seconds:.0f} s"
                )

    async def _waiting(self, client: AIOKafkaConsumer) -> Mapping[str, int]:
        """Return {topic: number of its delivered records that are not acknowledged}, and under "" all unfinished records.

        A topic's undelivered records do not show that its agent hangs: the consumer waits while the queue of any agent is
        full. Events in open buckets do not count.
        """
        consumer = self._app.started_consumer
        if consumer is None or consumer.tracker.generation is None or self._app.rebalancing:
            await client.end_offsets([TopicPartition(name, 0) for name in list(self._app.sources)[:1]])
            return {"": 1}
        partitions = [tp for tp in consumer.tracker.partitions if self._app.topics.acks_enabled_for(tp.topic)]
        places = [TopicPartition(*tp) for tp in partitions]
        first: dict[TopicPartition, int] = await client.beginning_offsets(places)

        def read() -> dict[TP, int]:
            return {tp: consumer.tracker.delivered(tp) or consumer.committed(tp) or 0 for tp in partitions}

        before = read()  # the worker reads new records while the broker's answer is on its way
        ends: dict[TopicPartition, int] = await client.end_offsets(places)
        self._look_for_cut({f"{tp.topic}-{tp.partition}": (before[tp], ends[TopicPartition(*tp)]) for tp in partitions})
        done = read()
        waiting = Counter({topic: -held() for topic, held in self._app.held.items()})
        for tp in partitions:
            waiting[tp.topic] += consumer.tracker.open_count(tp)
        undelivered = (
            max(0, ends[place] - max(done[tp], first[place])) for tp, place in zip(partitions, places, strict=True)
        )
        return {**waiting, "": waiting.total() + sum(undelivered)}

    def _look_for_cut(self, partitions: Mapping[str, tuple[int, int]]) -> None:
        """End the worker if 3 checks in a row find a partition that ends before the worker's position in it."""
        cut = [f"{name} ends at {end}, {done} were read" for name, (done, end) in partitions.items() if end < done]
        self._cut_looks = self._cut_looks + 1 if cut else 0
        if self._cut_looks >= _CUT_LOOKS:
            self._end(f"the log was deleted or cut: {', '.join(cut)}")
