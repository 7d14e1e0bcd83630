"""Merge the chunks of several answers, in the order in which they arrive."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

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
    queue: asyncio.Queue[tuple[int, T] | asyncio.Task[None]] = asyncio.Queue()

    async def pump(index: int) -> None:
        async with aclosing(sources[index]) as source:
            async for item in source:
                queue.put_nowait((index, item))

    tasks = [asyncio.create_task(pump(index)) for index in range(len(sources))]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    running = len(tasks)
    try:
        while running:
            found = await queue.get()
            if isinstance(found, asyncio.Task):
                running -= 1
                await found  # raises the error of its source, after the items before it
            else:
                yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
