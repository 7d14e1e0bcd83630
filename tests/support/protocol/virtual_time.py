"""An event loop whose clock leaps to whatever is due next, and processes in it that can be killed and stopped at any await."""

import asyncio
import random
import selectors
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

#: When every world begins: seconds since the epoch, and the loop's own time.
START = 1_000_000.0
_ROUNDS = 200

CURRENT: ContextVar["Process | None"] = ContextVar("process", default=None)


class ProcessKilled(BaseException):
    """Ends a synchronous call in the middle, as a kill does."""


class Process:
    """What dies together: tasks, calls in threads, records that are not yet on the network.

    An *effect* is what others can see: a record on the broker, an acknowledgement, a write to the disk, a commit. `fuse` kills the
    process right after so many of them; `write_fuse` in the middle of so many writes to a spool; `stop_fuse` suspends it right
    after so many effects, for the seconds beside it.
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
        self.tasks: dict[asyncio.Task[Any], None] = {}  # in order: a set has another one in each run
        self.error: BaseException | None = None
        self.on_resume: list[Callable[[], None]] = []
        self.on_end: list[Callable[[], None]] = []  # what the kernel does: files close, locks are given up

    def spawn(self, coroutine):
        """Run a coroutine as one of this process's; one that fails ends it."""
        task = self.within(self.loop.create_task, coroutine)
        task.add_done_callback(self._ended)
        return task

    def within(self, call, *arguments):
        """Call as this process: what it starts belongs to it."""
        context = copy_context()
        context.run(CURRENT.set, self)
        return context.run(call, *arguments)

    def effect(self):
        """Count an effect; the fuse may end the process here."""
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
        """End it at once: nothing of it has an effect from here on."""
        if self.alive:
            self.alive = False
            self.dead.set()
            for task in list(self.tasks):
                task.cancel()

    def stop(self, seconds):
        """Suspend it, as SIGSTOP does, and let it go on after `seconds`."""
        self.running.clear()
        self.loop.call_later(seconds, self.resume)

    def resume(self):
        """Let it go on."""
        if not self.running.is_set():
            self.running.set()
            waiting, self.on_resume = self.on_resume, []
            for call in waiting:
                call()

    async def turn(self):
        """Return when the process runs; one that is dead never goes on from here."""
        if not self.alive:
            raise asyncio.CancelledError
        await self.running.wait()

    async def reap(self):
        """Wait until nothing of it is left."""
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
    """Waits for nothing: the time that it should wait is passed on."""

    def __init__(self, leap):
        super().__init__()
        self._leap = leap

    def select(self, timeout=None):
        self._leap(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic: the order of everything follows from the seed."""

    def __init__(self, seed):
        self._now = START
        self.random = random.Random(f"loop {seed}")
        super().__init__(_Idle(self._leap))
        self.set_task_factory(_task)
        self.set_exception_handler(lambda _loop, _context: None)  # a process's failure is told by the process

    def time(self):
        return self._now

    def run_in_executor(self, executor, func, *args):
        """Call `func` after a moment, and answer after another: a kill may come before, between and after."""
        future, process = self.create_future(), CURRENT.get()
        if process is not None:
            process.effect()  # a kill may come before the thread has begun
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
            raise AssertionError("every task waits for something that nothing will bring about")
        if timeout > 0:
            self._now += timeout


def _task(loop, coroutine, context=None, **more):
    """Make a task that belongs to the process that it is made in."""
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
    """Run `main` in a loop of its own to its end, and close everything."""
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
