"""Print a stream of events until the stream ends or the user presses Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from weir.cli.render.standard_streams import output_closed

_CHECK_SECONDS = 1.0
ItemT = TypeVar("ItemT")


async def oldest_first(
    stream: AsyncGenerator[ItemT, None], at: Callable[[ItemT], float]
) -> AsyncGenerator[ItemT, None]:
    """Read a stream to its end, then yield its events ordered by time; events of the same time keep their order."""
    async with aclosing(stream):
        found = [item async for item in stream]
    for item in sorted(found, key=at):
        yield item


def print_stream(stream: AsyncGenerator[ItemT, None], show: Callable[[ItemT], object], *, follow: bool) -> int:
    """Call `show` with each event; return the number of events shown.

    SIGINT and SIGTERM are the normal end if `follow` is true; else they raise :class:`KeyboardInterrupt`.
    """
    shown, interrupted = asyncio.run(_drain(stream, show))
    if interrupted and not follow:
        raise KeyboardInterrupt
    return shown


async def _drain(stream: AsyncGenerator[ItemT, None], show: Callable[[ItemT], object]) -> tuple[int, bool]:
    """Show events until the stream ends, standard output is closed, or SIGINT or SIGTERM arrives.

    Return the number of events shown, and whether a signal arrived.
    """
    shown, interrupted = 0, False
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    watching = asyncio.create_task(_when_closed(task.cancel))
    async with aclosing(stream):
        try:
            async for item in stream:
                show(item)
                shown += 1
                if output_closed():
                    break
        except asyncio.CancelledError:
            task.uncancel()
        finally:
            watching.cancel()
    return shown, interrupted


async def _when_closed(stop: Callable[[], object]) -> None:
    while True:
        if output_closed():
            stop()
            return
        await asyncio.sleep(_CHECK_SECONDS)
