"""Model processes with a deadline, and the search for the text that makes a process hang or crash.

A detector that hangs or crashes must affect only the event that caused the failure, so a failed batch is halved until this event is alone.
An event that was alone when its process ended is scored once more: the kernel can have killed the process because memory was short.
"""

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessPool

from detectors.text.explain import Answer, Question
from stream.errors import ModelsLost
from stream.stages.score import model_process
from stream.stages.score.event_parts import Item
from stream.stages.score.model_process import ModelSpec, Scored

_log = logging.getLogger(__name__)
#: A part of a batch gets its share of the deadline, but at least this share.
_SMALLEST_SHARE = 0.25
#: Maximum number of characters of the items of one task, if it has several items: 32 texts of 300 KB need minutes, not one deadline.
_TASK_CHARACTERS = 131_072
#: Loading models on a busy machine takes a minute; after this time the process counts as lost.
_LOAD_SECONDS = 300.0
#: Time to end a process after its deadline.
_GRACE_SECONDS = 10.0


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An item that cannot be scored: `disposition` is ``timeout`` or ``bug``, `error` the exception class's name."""

    disposition: str
    error: str


Outcome = Scored | Failed
Deliver = Callable[[int, Outcome], None]


def failure_of(outcome: Outcome) -> Failed | None:
    """Return the reason why an item lacks the score of a detector; None if each detector scored the item."""
    if isinstance(outcome, Failed):
        return outcome
    return Failed(disposition="bug", error=outcome.error) if outcome.error else None


class ModelPool:
    """Scores batches in spawned processes.

    Each of `workers` processes scores one batch at a time. A batch of long texts is scored in several tasks; `deadline_seconds` is for each task.
    `progress` is called while a task is within its deadline and while models load, because both can take longer than the watchdog's limit.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        workers: int,
        deadline_seconds: float,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.workers = workers
        self._spec = spec
        self._deadline = deadline_seconds
        self._progress = progress
        self._pool: ProcessPool | None = None
        self._ready = asyncio.Event()
        self._replacing = asyncio.Lock()
        self._next_start = 0.0  # a process starts the next task by then, unless the processes hang

    @property
    def loaded(self) -> bool:
        """Whether the models of at least one process are loaded."""
        return self._ready.is_set()

    async def start(self) -> None:
        """Start the processes and wait for the models; raises ModelsLost (and logs why) if they cannot load."""
        self._pool = self._new_pool()
        await self._load_models(self._pool)
        self._ready.set()

    async def stop(self) -> None:
        """End the processes and cancel their tasks."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(_end, pool)

    async def score(self, items: Sequence[Item], deliver: Deliver) -> None:
        """Score `items`; call `deliver(index, outcome)` for each outcome."""
        await self._ready.wait()
        for rows in _tasks(items):
            await self._part(items, rows, self._deadline, deliver)

    async def answer_question(self, name: str, question: Question) -> Answer:
        """Return the scores of detector `name` for the texts in `question`, which are variants of one explained text.

        Raises the detector's error, or TimeoutError after the deadline of a batch; after a timeout, the process is replaced.
        """
        answered: Answer = await self._task(model_process.answer_question, (name, question), self._deadline)
        return answered

    async def _part(
        self, items: Sequence[Item], rows: list[int], deadline: float, deliver: Deliver, *, again: bool = True
    ) -> None:
        try:
            scored: list[Scored] = await self._task(model_process.score, ([items[row] for row in rows],), deadline)
        except ModelsLost:
            raise
        except Exception as error:  # noqa: BLE001 - one of these texts caused the detector's error
            self._progress()
            failed = Failed(
                disposition="timeout" if isinstance(error, TimeoutError) else "bug", error=type(error).__name__
            )
        else:
            for row, result in zip(rows, scored, strict=True):
                deliver(row, result)
            return
        if len(rows) == 1 and again and failed.error == ProcessExpired.__name__:
            _log.warning("a model process ended (%s), retrying its text once", failed.error)
            await self._part(items, rows, deadline, deliver, again=False)
            return
        if len(rows) == 1:
            deliver(rows[0], failed)
            return
        late = (
            f" after {deadline:g} s; [score] deadline_seconds is {self._deadline:g}"
            if failed.disposition == "timeout"
            else ""
        )
        _log.warning("a batch of %d texts failed (%s%s), halving it", len(rows), failed.error, late)
        half, deadline = len(rows) // 2, max(deadline / 2, self._deadline * _SMALLEST_SHARE)
        await self._part(items, rows[:half], deadline, deliver, again=False)
        await self._part(items, rows[half:], deadline, deliver, again=False)

    async def _task(self, work: Callable[..., Any], arguments: tuple[Any, ...], deadline: float) -> Any:
        """Run a task. If the pool is already broken (an idle process was killed), replace the pool and retry."""
        for last in (False, True):
            pool = self._pool
            if pool is None:
                raise asyncio.CancelledError
            try:
                future: Any = pool.schedule(work, args=arguments, timeout=deadline)
                result = await self._result(future, deadline)
            except RuntimeError as error:
                if pool.active and not isinstance(error, BrokenProcessPool):
                    raise
                await self._replace(pool)
                if last:
                    raise
            else:
                return result
        raise AssertionError

    async def _result(self, future: Any, deadline: float) -> Any:
        """Wait for a task; report progress while models load and while the task is within its deadline.

        Raises ModelsLost if no process starts the task in time: they hang, for example because they were stopped.
        """
        limit = self._deadline + _GRACE_SECONDS
        waiting, until = asyncio.wrap_future(future), time.monotonic() + limit
        started = False
        try:
            while not (await asyncio.wait({waiting}, timeout=1.0))[0]:
                now = time.monotonic()
                if future.running() and not started:
                    started, until, self._next_start = True, now + deadline + _GRACE_SECONDS, now + limit
                if now < (until if started else max(until, self._next_start)):
                    self._progress()
                elif not started:
                    break
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        if not waiting.done():
            waiting.cancel()
            raise ModelsLost(
                f"the model processes hang: none started a task within {limit:.0f} s, so score must be started again"
            )
        lost = isinstance(waiting.exception(), TimeoutError | ProcessExpired)
        self._next_start = time.monotonic() + (_LOAD_SECONDS if lost else limit)
        return waiting.result()

    async def _replace(self, broken: ProcessPool) -> None:
        async with self._replacing:
            if self._pool is not broken:
                return
            _log.warning("the model processes ended, starting new ones")
            self._pool = pool = self._new_pool()
            await asyncio.to_thread(_end, broken)
            await self._load_models(pool)

    async def _load_models(self, pool: ProcessPool) -> None:
        try:
            await self._result(pool.schedule(model_process.ready), 0.0)
        except RuntimeError as error:
            if self._pool is not pool:  # the pool was stopped meanwhile, so no models are lost
                raise asyncio.CancelledError from error
            raise ModelsLost(
                "the models cannot be loaded; the error of the model process is above, in this log"
            ) from error

    def _new_pool(self) -> ProcessPool:
        self._next_start = time.monotonic() + _LOAD_SECONDS
        return ProcessPool(
            max_workers=self.workers,
            initializer=model_process.load_models,
            initargs=(self._spec,),
            context=multiprocessing.get_context("spawn"),
        )


def _tasks(items: Sequence[Item]) -> Iterator[list[int]]:
    """Yield the rows of each task: one item, or items with at most `_TASK_CHARACTERS` characters together; the shortest are first."""
    task: list[int] = []
    total = 0
    for row in sorted(range(len(items)), key=lambda row: items[row].characters):
        total += items[row].characters
        if task and total > _TASK_CHARACTERS:
            yield task
            task, total = [], items[row].characters
        task.append(row)
    yield task


def _end(pool: Any) -> None:
    pool.stop()
    pool.join()
