"""The network between clients and the broker: delays, lost acknowledgements, refusals, outages. One seed determines all draws."""

import asyncio
import random
from collections import deque
from typing import Any

import msgspec
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber, RequestTimedOutError

from support.protocol.virtual_time import CURRENT


class Weather(msgspec.Struct, kw_only=True):
    """Conditions of the network: the longest delay of a batch or answer in seconds, and the shares of batches that fail.

    A batch of the share `ack_lost` is written, but its producer gets an error. A batch of the share `refused` is not written.
    """

    slowest: float = 0.05
    ack_lost: float = 0.0
    refused: float = 0.0


class Network:
    """The connection to one broker."""

    def __init__(self, loop, kafka, seed):
        self.loop = loop
        self.kafka = kafka
        self.random = random.Random(f"network {seed}")
        self.weather = Weather()
        self.producers: list[Any] = []
        self.up = asyncio.Event()
        self.up.set()

    async def travel(self):
        """Wait for one delay, then until the broker is reachable and the current process runs."""
        process = CURRENT.get()
        await asyncio.sleep(self.delay())
        await self.up.wait()
        if process is not None:
            await process.turn()

    def delay(self):
        """Return a random delay of one direction, in seconds."""
        return self.random.uniform(0, self.weather.slowest)


class Line:
    """One producer's records for one partition, sent in order, one batch at a time.

    If a batch of an idempotent producer fails, all later records fail too: they would be out of sequence.
    """

    def __init__(self, network, process, place, *, idempotent):
        self._network = network
        self._process = process
        self._place = place
        self._idempotent = idempotent
        self._waiting: deque[tuple[Any, Any]] = deque()
        self._flying: list[tuple[Any, Any]] = []
        self._broken = False

    def push(self, record):
        """Send `record` (key, value, headers); the future is done when the broker has answered."""
        future = self._network.loop.create_future()
        if self._broken:
            future.set_exception(OutOfOrderSequenceNumber())
        else:
            self._waiting.append((future, record))
            self._depart()
        return future

    @property
    def futures(self):
        """The futures of the records without an answer."""
        return [future for future, _ in (*self._flying, *self._waiting)]

    def fail(self, error, *, written=0):
        """Fail all records; first write the first `written` records of those in flight."""
        self._broken = True
        for _, record in self._flying[:written]:
            self._network.kafka.append(*self._place, *record)
        lost = self.futures
        self._waiting.clear()
        self._flying = []
        for future in lost:
            if not future.done():
                future.set_exception(error)

    def _depart(self):
        if self._flying or not self._waiting:
            return
        if self._process is not None and not self._process.running.is_set():
            self._process.on_resume.append(self._depart)
            return
        size = self._network.random.randint(1, min(8, len(self._waiting)))
        self._flying = [self._waiting.popleft() for _ in range(size)]
        self._network.loop.call_later(self._network.delay(), self._arrive, self._flying)

    def _arrive(self, batch):
        """Deliver a batch to the broker. A batch in flight may arrive even if its producer was killed."""
        network, weather = self._network, self._network.weather
        if batch is not self._flying:
            return
        if not network.up.is_set():
            network.loop.call_later(0.1, self._arrive, batch)
            return
        if self._process is not None and not self._process.alive and network.random.random() < 0.5:
            return
        fate = network.random.random()
        if fate < weather.refused:
            self._answer_later(batch, RequestTimedOutError())
            return
        stored = [network.kafka.append(*self._place, *record) for _, record in batch]
        if self._process is not None:
            self._process.effect()
        self._answer_later(batch, KafkaTimeoutError() if fate > 1 - weather.ack_lost else stored)

    def _answer_later(self, batch, answer):
        self._network.loop.call_later(self._network.delay(), self._answer, batch, answer)

    def _answer(self, batch, answer):
        process = self._process
        if process is not None and not process.running.is_set():
            process.on_resume.append(lambda: self._answer(batch, answer))
            return
        if batch is not self._flying or (process is not None and not process.alive):
            return
        if isinstance(answer, Exception) and self._idempotent:
            self.fail(answer)
            return
        self._flying = []
        for position, (future, _) in enumerate(batch):
            if not future.done():
                failed = isinstance(answer, Exception)
                (future.set_exception if failed else future.set_result)(answer if failed else answer[position])
        if process is not None:
            process.effect()
        self._depart()
