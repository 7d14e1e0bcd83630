"""Join chunks into fewer, larger chunks: sending a chunk costs replica and gateway about 0.3 ms of CPU time each."""

import asyncio
from collections.abc import AsyncGenerator

from serving.engine.protocol import Chunk, joined

__all__ = ["coalesced"]


class _Buffer:
    """Chunks that have arrived and are not sent yet."""

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self.ended = False
        self._chunks: list[Chunk] = []

    def put(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self.filled.set()

    def take(self) -> Chunk | None:
        """Return the chunks that arrived since the last call, joined into one, or None if there are none."""
        chunks, self._chunks = self._chunks, []
        self.filled.clear()
        return joined(chunks) if chunks else None


async def coalesced(chunks: AsyncGenerator[Chunk, None], hold_seconds: float) -> AsyncGenerator[Chunk, None]:
    """Yield the first chunk at once, then at most one joined chunk per `hold_seconds`, and the last chunk at once.

    Closing this generator closes `chunks`; an error of `chunks` is raised after all chunks before the error are yielded.
    """
    buffer = _Buffer()
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
            if (chunk := buffer.take()) is not None:
                yield chunk
            if ended:
                break
        await pump
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _pump(chunks: AsyncGenerator[Chunk, None], buffer: _Buffer) -> None:
    try:
        async for chunk in chunks:
            buffer.put(chunk)
    finally:
        buffer.ended = True
        buffer.filled.set()
        await chunks.aclose()
