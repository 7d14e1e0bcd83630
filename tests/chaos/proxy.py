"""A TCP proxy between every client and the broker, that can be slow, narrow, half open, or cut."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

__all__ = ["Link", "LoopThread", "Proxy"]

_CHUNK_BYTES = 65_536
_BUFFER_BYTES = 16 * _CHUNK_BYTES
#: ``SO_LINGER`` of zero: close() sends RST.
_RESET = struct.pack("ii", 1, 0)
ResultT = TypeVar("ResultT")


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What the line does to bytes, in both directions.

    Parameters
    ----------
    latency_seconds
        Added to each chunk; chunks overlap, as on a long line.
    bytes_per_second
        Of each connection and direction; 0 has no limit.
    half_open
        Connections are accepted and stay, and nothing passes.
    refuse
        Connections are reset as soon as they are made.
    """

    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    half_open: bool = False
    refuse: bool = False


class LoopThread:
    """An event loop in a thread of its own: the proxy and the looks at Kafka run while a fault blocks the caller."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-loop", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, ResultT], seconds: float = 60.0) -> ResultT:
        """Run `work` there and return what it returns; TimeoutError after `seconds`."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        return future.result(seconds + 5)

    def close(self) -> None:
        """End the loop, and what still runs in it."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Proxy:
    """Listens on `port` and passes bytes to and from `target`, as :attr:`link` says at that moment."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.link = Link()
        self.passed = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        await self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> int:
        """Reset every connection; return how many there were."""
        writers = tuple(self._open)
        for writer in writers:
            _reset(writer)
        return len(writers) // 2

    @property
    def connections(self) -> int:
        """Connections that pass bytes now."""
        return len(self._open) // 2

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.link.refuse:
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        pair = {writer, back}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, back))
                tasks.create_task(self._pass(there, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= pair
            for one in pair:
                _reset(one)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one direction until it ends; then the other ends too, by the error that this raises."""
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_BUFFER_BYTES // _CHUNK_BYTES)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(line, writer))
            while data := await reader.read(_CHUNK_BYTES):
                await line.put((loop.time() + self.link.latency_seconds, data))
            await line.put((loop.time() + self.link.latency_seconds, b""))

    async def _deliver(self, line: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await line.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            while self.link.half_open:  # noqa: ASYNC110 - another thread changes the link
                await asyncio.sleep(0.05)
            if not data:
                raise ConnectionResetError("the other side has ended")
            if self.link.bytes_per_second:
                await asyncio.sleep(len(data) / self.link.bytes_per_second)
            self.passed += len(data)
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport: Any = writer.transport
    transport.abort()
