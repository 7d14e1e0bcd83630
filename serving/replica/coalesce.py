"""Join chunks into fewer, larger chunks: sending a chunk costs replica and gateway about 0.3 ms of CPU time each."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Generic, TypeVar

ChunkT = TypeVar("ChunkT")
JoinedT = TypeVar("JoinedT")


class _Buffer(Generic[ChunkT]):
    """Chunks that have arrived and are not sent yet."""

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self.ended = False
        self._chunks: list[ChunkT] = []

    def put(self, chunk: ChunkT) -> None:
        self._chunks.append(chunk)
        self.filled.set()

    def take(self) -> list[ChunkT]:
        """Return the chunks that arrived since the last call."""
        chunks, self._chunks = self._chunks, []
        self.filled.clear()
        return chunks


async def coalesced(
    chunks: AsyncGenerator[ChunkT, None], hold_seconds: float, join: Callable[[Sequence[ChunkT]], JoinedT]
) -> AsyncGenerator[JoinedT, None]:
    """Yield the first chunk at once, then at most one result of `join` per `hold_seconds`, and the last chunk at once.

    `join` gets at least one chunk. Closing this generator closes `chunks`. If `chunks` raises an error, this generator
    first yields all chunks before the error.
    """
    buffer = _Buffer[ChunkT]()
    pump = asyncio.create_task(_pump(chunks, buffer))
    clock = asyncio.get_running_loop().time
    due = clock()
    try:
        while True:
            await buffer.filled.wait()
            if (left := due - clock()) > 0 and not buffer.ended:
                await asyncio.wait((pump,), timeout=left)
            due = clock() + hold_seconds
            ended = buffer.ended
            if arrived := buffer.take():
                yield join(arrived)
            if ended:
                break
        await pump
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(chunks: AsyncGenerator[ChunkT, None], buffer: _Buffer[ChunkT]) -> None:
    try:
        async for chunk in chunks:
            buffer.put(chunk)
    finally:
        buffer.ended = True
        buffer.filled.set()
        await chunks.aclose()
