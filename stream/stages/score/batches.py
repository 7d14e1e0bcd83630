"""Micro-batches of items from all partitions; items that wait for a free model process are scored together."""

import asyncio
from collections.abc import Sequence

import msgspec
from opentelemetry.trace import Span

from stream.stages.score.event_parts import Item
from stream.stages.score.model_pool import ModelPool, Outcome
from stream.stages.score.spans import ScoreSpans

_WAIT_SECONDS = 0.02


class _Job(msgspec.Struct, kw_only=True):
    """An item, the span of its event, and the future of its outcome."""

    item: Item
    span: Span
    outcome: "asyncio.Future[Outcome]"


class Batcher:
    """Collects items into batches for the pool.

    A batch is complete when it has `events` items, or 20 ms after its first item.
    """

    def __init__(self, pool: ModelPool, *, events: int, spans: ScoreSpans) -> None:
        self._pool = pool
        self._events = events
        self._spans = spans
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._free = asyncio.Semaphore(pool.workers)
        self._running: set[asyncio.Task[None]] = set()
        self._open = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def score(self, item: Item, span: Span) -> Outcome:
        """Score one item, in a batch with others; `span` is the span of the item's event."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(item=item, span=span, outcome=outcome))
        self._open += 1
        self._quiet.clear()
        try:
            return await outcome
        finally:
            self._open -= 1
            if not self._open:
                self._quiet.set()

    async def quiet(self) -> None:
        """Wait until no item is queued or being scored."""
        while self._open:
            await self._quiet.wait()

    async def run(self) -> None:
        """Form batches until cancelled."""
        try:
            while True:
                await self._free.acquire()
                batch = await self._collect()
                task = asyncio.create_task(self._process(batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            for task in self._running:
                task.cancel()

    async def _collect(self) -> list[_Job]:
        batch = [await self._jobs.get()]
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while len(batch) < self._events:
            try:
                async with asyncio.timeout_at(deadline):
                    batch.append(await self._jobs.get())
            except TimeoutError:
                break
        return batch

    async def _process(self, batch: Sequence[_Job]) -> None:
        def deliver(index: int, outcome: Outcome) -> None:
            if not batch[index].outcome.done():
                batch[index].outcome.set_result(outcome)

        try:
            with self._spans.batch([job.span for job in batch]):
                await self._pool.score([job.item for job in batch], deliver)
        except Exception as error:  # noqa: BLE001 - it is raised in every waiting caller
            for job in batch:
                if not job.outcome.done():
                    job.outcome.set_exception(error)
        finally:
            self._free.release()
