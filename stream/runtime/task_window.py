"""Limits the number of events in flight."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class TaskWindow:
    """Runs the tasks of at most `size` events at the same time.

    Each event in flight has its own task, so that an event that waits for acknowledgements delays no other event.
    `on_failure` is called with the exception of a task that failed.
    """

    def __init__(self, size: int, on_failure: Callable[[BaseException], None]) -> None:
        self._slots = asyncio.Semaphore(size)
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_failure = on_failure

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, finish: Coroutine[Any, Any, None]) -> None:
        """Wait until fewer than `size` tasks run, then start `finish` as a task."""
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            finish.close()
            raise
        task = asyncio.get_running_loop().create_task(finish)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
