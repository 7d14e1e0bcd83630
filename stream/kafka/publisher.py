"""Publishing with an acknowledgement, to a partition that the caller names.

Why this exists: a failed send of Faust is only logged (faults.md, trap 4). Here a send returns when all in-sync replicas have
the record, tries again while the broker is away, and raises where trying again cannot help.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiokafka.errors import (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from faust.exceptions import NotReady, ProducerSendError

from stream.wire import Event, Record, encode

__all__ = ["Publisher", "Window"]

_log = logging.getLogger(__name__)
_HOPELESS = (
    AuthenticationFailedError,
    GroupAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
_PAUSE_SECONDS = 0.5

Headers = tuple[tuple[str, bytes], ...]


class Publisher:
    """Produces records through an app's producer.

    Parameters
    ----------
    producer
        Returns the Faust producer (it does not exist before the app starts).
    """

    def __init__(self, producer: Callable[[], Any]) -> None:
        self._producer = producer

    async def publish(self, topic: str, event: Event, *, partition: int, traceparent: str = "") -> Any:
        """Encode and produce `event`; `traceparent` is the plain header, this hop's.

        Returns
        -------
        RecordMetadata
            Topic, partition and offset.

        Raises
        ------
        KafkaError
            The broker refuses the record for good: its size, or our rights.
        """
        record: Record = encode(event)
        hop: Headers = (("traceparent", traceparent.encode()),) if traceparent else ()
        return await self.produce(
            topic, key=record.key, value=record.value, headers=record.headers + hop, partition=partition
        )

    async def produce(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> Any:
        """Produce raw bytes, as :meth:`publish` does."""
        said = False
        while True:
            try:
                sent = await self._producer().send(topic, key, value, partition, None, list(headers))
                return await sent
            except _HOPELESS:
                raise
            except (KafkaError, ProducerSendError, NotReady) as error:
                if isinstance(error.__cause__, _HOPELESS):
                    raise error.__cause__ from error
                if not said:
                    _log.warning("%s not sent to %s-%d, trying on", type(error).__name__, topic, partition)
                    said = True
            await asyncio.sleep(_PAUSE_SECONDS)


class Window:
    """At most `size` events in flight; each is finished by a task of its own (design.md, decision 7).

    Each task awaits its outputs while up to `size` tasks overlap, so that waiting for acknowledgements costs no throughput.

    Parameters
    ----------
    size
        Events in flight, at most.
    on_failure
        Called with the exception of a task that failed.
    """

    def __init__(self, size: int, on_failure: Callable[[BaseException], None]) -> None:
        self._slots = asyncio.Semaphore(size)
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_failure = on_failure

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, finish: Coroutine[Any, Any, None]) -> None:
        """Start `finish` as soon as a slot is free."""
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            finish.close()
            raise
        task = asyncio.get_running_loop().create_task(finish)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def drain(self) -> None:
        """Wait for everything that was started."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Abandon what is in flight; its events are delivered again."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
