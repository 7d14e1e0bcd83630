"""A broker in memory that keeps a partition's order, acknowledges when told to, and loses producers when told to."""

import asyncio

from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from serving.capture.delivery import DeliveryLost
from stream.wire import TopicNames, decode

__all__ = ["SimulatedKafka"]


class SimulatedLease:
    def __init__(self, kafka):
        self._kafka = kafka
        self.reason = ""
        self.is_lost = False

    async def send(self, topic, partition, key, value, headers):
        if self.is_lost:
            raise DeliveryLost(self.reason)
        future = asyncio.get_running_loop().create_future()
        self._kafka.pending.append((future, topic, partition, decode(value, headers), headers))
        return future

    def lose(self, reason):
        if not self.is_lost:
            self.is_lost, self.reason = True, reason
            self._kafka.abandon()


class SimulatedKafka:
    """Stands where a Delivery does."""

    def __init__(self, partitions: int = 4) -> None:
        self.names = TopicNames()
        self.partitions = partitions
        self.log = []
        self.headers = []
        self.pending = []
        self.refuses = None
        self.up = asyncio.Event()
        self.up.set()
        self._lease = SimulatedLease(self)

    async def lease(self):
        await self.up.wait()
        if self._lease.is_lost:
            self._lease = SimulatedLease(self)
        return self._lease

    def take(self, count=None):
        """Take the first `count` of what was sent, and acknowledge it."""
        count = len(self.pending) if count is None else count
        taken, self.pending = self.pending[:count], self.pending[count:]
        for future, topic, partition, event, headers in taken:
            if self.refuses is not None and self.refuses(event):
                _fail(future, MessageSizeTooLargeError())
                continue
            self.log.append((topic, partition, event))
            self.headers.append(headers)
            if not future.done():
                future.set_result(_Metadata(len(self.log)))

    def lose(self, taken_silently=0):
        """Fail what was sent as a lost sequence does; the first `taken_silently` were written, their answer was lost."""
        for _, topic, partition, event, headers in self.pending[:taken_silently]:
            self.log.append((topic, partition, event))
            self.headers.append(headers)
        self.abandon()

    def abandon(self):
        pending, self.pending = self.pending, []
        for future, *_ in pending:
            _fail(future, OutOfOrderSequenceNumber())


class _Metadata:
    def __init__(self, offset):
        self.offset = offset


def _fail(future, error):
    if not future.done():
        future.set_exception(error)
