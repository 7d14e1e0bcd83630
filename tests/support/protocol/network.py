"""What lies between a client and the broker: delay, lost acknowledgements, refusals, an outage; every draw from one seed."""

import asyncio
import random
from collections import deque
from typing import Any

import msgspec
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber, RequestTimedOutError

from support.protocol.virtual_time import CURRENT


class Weather(msgspec.Struct, kw_only=True):
    """How the network is: seconds of the slowest batch or answer, and the shares of batches that fail.

    Batches of `ack_lost` are written while the sender hears of a failure, those of `refused` are not written.
    """

    slowest: float = 0.05
    ack_lost: float = 0.0
    refused: float = 0.0


class Network:
    """The way to one broker."""

    def __init__(self, loop, kafka, seed):
        self.loop = loop
        self.kafka = kafka
        self.random = random.Random(f"network {seed}")
        self.weather = Weather()
        self.producers: list[Any] = []
        self.up = asyncio.Event()
        self.up.set()

    async def travel(self):
        """Make one way, as the current process; returns when the broker is there and the process runs."""
        process = CURRENT.get()
        await asyncio.sleep(self.delay())
        await self.up.wait()
        if process is not None:
            await process.turn()

    def delay(self):
        """Draw how long one way takes."""
        return self.random.uniform(0, self.weather.slowest)


class Line:
    """One producer's records on their way to one partition: in order, a batch at a time.

    An idempotent producer's line breaks with the first batch that fails: what follows would be out of its sequence.
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
        """What has no answer yet."""
        return [future for future, _ in (*self._flying, *self._waiting)]

    def fail(self, error, *, written=0):
        """Break it: everything fails, after the first `written` records were written."""
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
        """Reach the broker. A batch that is on the network when its sender dies may arrive all the same."""
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
