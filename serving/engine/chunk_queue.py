"""A queue of chunks between an engine's thread and the coroutine that reads them."""

import asyncio
from collections import deque

from serving.engine.errors import EngineError
from serving.engine.protocol import Chunk, joined


class Inbox:
    """A queue that is read in one event loop. Any thread may call `send`; chunks that wait for a slow reader are joined."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._error: EngineError | None = None
        self._ready = asyncio.Event()

    def send(self, item: Chunk | EngineError) -> bool:
        """Pass a chunk, or the error that ends the answer; return False if the reader's event loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self.put, item)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def put(self, item: Chunk | EngineError) -> None:
        """Pass a chunk or an error; only the event loop's thread may call this."""
        if isinstance(item, Chunk):
            self._chunks.append(item)
        elif self._error is None:  # the first one is the cause
            self._error = item
        self._ready.set()

    async def get(self) -> Chunk:
        """Wait for chunks and return them as one; raises the error that was passed."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            self._ready.clear()
            await self._ready.wait()
        chunks = list(self._chunks)
        self._chunks.clear()
        return joined(chunks)
