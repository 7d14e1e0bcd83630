"""Merge the chunks of several answers, in the order in which they arrive."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

__all__ = ["merged"]

T = TypeVar("T")


async def merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """Yield (index of the source, item) until all sources end, or until one raises an error.

    Closing this generator closes the sources.
    """
    if len(sources) == 1:
        async with aclosing(sources[0]) as only:
            async for item in only:
                yield 0, item
        return
    queue: asyncio.Queue[tuple[int, T] | None] = asyncio.Queue()

    async def pump(index: int) -> None:
        async with aclosing(sources[index]) as source:
            async for item in source:
                queue.put_nowait((index, item))

    tasks = [asyncio.create_task(pump(index)) for index in range(len(sources))]
    for task in tasks:
        task.add_done_callback(lambda _: queue.put_nowait(None))
    running = len(tasks)
    try:
        while running:
            found = await queue.get()
            if found is not None:
                yield found
                continue
            running -= 1
            if failed := next((task for task in tasks if task.done() and task.exception() is not None), None):
                await failed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
