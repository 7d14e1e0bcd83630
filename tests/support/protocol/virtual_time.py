"""An event loop in virtual time, whose clock jumps to the next due call, and processes that can be killed or stopped at any await."""

import asyncio
import random
import selectors
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

#: The start of every world: seconds since the epoch, and also the loop's time.
START = 1_000_000.0
_ROUNDS = 200

CURRENT: ContextVar["Process | None"] = ContextVar("process", default=None)


class ProcessKilled(BaseException):
    """Raised to end a synchronous call in the middle, as a kill does."""


class Process:
    """A simulated process: its tasks, its calls in threads and its records that are not yet on the network end with it.

    An *effect* is an action that other processes can see: a record on the broker, an acknowledgement, a write to the disk, a commit.
    `fuse` counts effects; after the last, the process is killed. `write_fuse` counts writes to a spool; in the middle of the last,
    the process is killed. `stop_fuse` is (effects, seconds); after the last effect, the process is suspended for these seconds.
    """

    def __init__(self, loop, name):
        self.loop = loop
        self.name = name
        self.alive = True
        self.dead = asyncio.Event()
        self.running = asyncio.Event()
        self.running.set()
        self.fuse: int | None = None
        self.write_fuse: int | None = None
        self.stop_fuse: tuple[int, float] | None = None
        self.tasks: dict[asyncio.Task[Any], None] = {}  # in order: the order of a set differs between runs
        self.error: BaseException | None = None
        self.on_resume: list[Callable[[], None]] = []
        self.on_end: list[Callable[[], None]] = []  # as the kernel: close files, release locks

    def spawn(self, coroutine):
        """Run a coroutine as a task of this process; if the task fails, the process ends."""
        task = self.within(self.loop.create_task, coroutine)
        task.add_done_callback(self._ended)
        return task

    def within(self, call, *arguments):
        """Make a call as this process: tasks that the call starts belong to this process."""
        context = copy_context()
        context.run(CURRENT.set, self)
        return context.run(call, *arguments)

    def effect(self):
        """Count an effect; a fuse may kill or suspend the process here."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.kill()
        if self.stop_fuse is not None:
            effects, seconds = self.stop_fuse
            self.stop_fuse = (effects - 1, seconds) if effects > 1 else None
            if self.stop_fuse is None:
                self.stop(seconds)

    def kill(self):
        """Kill the process at once: it has no more effects."""
        if self.alive:
            self.alive = False
            self.dead.set()
            for task in list(self.tasks):
                task.cancel()

    def stop(self, seconds):
        """Suspend the process, as SIGSTOP does, and resume it after `seconds`."""
        self.running.clear()
        self.loop.call_later(seconds, self.resume)

    def resume(self):
        """Resume the process and make the calls that waited for this."""
        if not self.running.is_set():
            self.running.set()
            waiting, self.on_resume = self.on_resume, []
            for call in waiting:
                call()

    async def turn(self):
        """Wait until the process runs; raise CancelledError if it is dead."""
        if not self.alive:
            raise asyncio.CancelledError
        await self.running.wait()

    async def reap(self):
        """Cancel all tasks and wait until they have ended, then call `on_end`."""
        for _ in range(_ROUNDS):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                for call in self.on_end:
                    call()
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0.001)
        raise AssertionError(f"{self.name} does not end: {left}")

    def _ended(self, task):
        if not task.cancelled() and (error := task.exception()) is not None and self.alive:
            self.error = error
            self.kill()


class _Idle(selectors.SelectSelector):
    """A selector that does not wait; it passes the timeout to `leap`."""

    def __init__(self, leap):
        super().__init__()
        self._leap = leap

    def select(self, timeout=None):
        self._leap(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A deterministic event loop: the seed determines the order of all calls."""

    def __init__(self, seed):
        self._now = START
        self.random = random.Random(f"loop {seed}")
        super().__init__(_Idle(self._leap))
        self.set_task_factory(_task)
        self.set_exception_handler(lambda _loop, _context: None)  # `Process.error` has a process's failure

    def time(self):
        return self._now

    def run_in_executor(self, executor, func, *args):
        """Call `func` after a delay, and set its result after another delay; a kill may happen before, between and after."""
        future, process = self.create_future(), CURRENT.get()
        if process is not None:
            process.effect()  # a kill may happen before the thread has begun
        self.call_later(self.random.uniform(0, 0.002), self._call, process, future, func, args)
        return future

    def _call(self, process, future, func, args):
        if process is not None and not process.running.is_set():
            process.on_resume.append(lambda: self._call(process, future, func, args))
            return
        if process is not None and not process.alive:
            return
        try:
            result, error = func(*args), None
        except ProcessKilled:
            return
        except Exception as raised:  # noqa: BLE001 - the caller gets it
            result, error = None, raised
        if process is not None:
            process.effect()
        self.call_later(self.random.uniform(0, 0.002), _answer, process, future, result, error)

    def _leap(self, timeout):
        if timeout is None:
            raise AssertionError("deadlock: every task waits, and no call is scheduled")
        if timeout > 0:
            self._now += timeout


def _task(loop, coroutine, context=None, **more):
    """Create a task that belongs to the current process."""
    task = asyncio.Task(coroutine, loop=loop, context=context, **more)
    process = context.get(CURRENT) if context is not None else CURRENT.get()
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None))
        if not process.alive:
            task.cancel()
    return task


def _answer(process, future, result, error):
    if future.done() or (process is not None and not process.alive):
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def run_virtual(seed, main):
    """Run `main` to its end in a new loop, then cancel all other tasks and close the loop."""
    loop = VirtualLoop(seed)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main(loop))
    finally:
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
