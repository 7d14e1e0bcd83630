"""Join chunks into fewer, larger chunks: sending a chunk costs replica and gateway about 0.3 ms of CPU time each."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

ChunkT = TypeVar("ChunkT")
JoinedT = TypeVar("JoinedT")


async def coalesced(
    chunks: AsyncGenerator[ChunkT, None], hold_seconds: float, join: Callable[[Sequence[ChunkT]], JoinedT]
) -> AsyncGenerator[JoinedT, None]:
    """Yield the first chunk at once, then at most one result of `join` per `hold_seconds`, and the last chunk at once.

    `join` gets at least one chunk. Closing this generator closes `chunks`. If `chunks` raises an error, this generator
    first yields all chunks before the error.
    """
    arrived: list[ChunkT] = []
    changed = asyncio.Event()

    async def read() -> None:
        async with aclosing(chunks):
            async for chunk in chunks:
                arrived.append(chunk)
                changed.set()

    reading = asyncio.create_task(read())
    reading.add_done_callback(lambda _: changed.set())
    clock = asyncio.get_running_loop().time
    due = clock()
    try:
        while arrived or not reading.done():
            await changed.wait()
            if (left := due - clock()) > 0 and not reading.done():
                await asyncio.wait((reading,), timeout=left)
            due = clock() + hold_seconds
            changed.clear()
            if arrived:
                taken, arrived[:] = arrived[:], []
                yield join(taken)
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
