"""A TCP proxy between all clients and the broker, with latency, limited bandwidth, half-open and reset connections."""

import asyncio
import contextlib
import socket
import struct

import msgspec

_CHUNK_BYTES = 65_536
_CHUNKS = 16
#: ``SO_LINGER`` of zero: close() sends RST.
_RESET = struct.pack("ii", 1, 0)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the connections, for both directions.

    `latency_seconds` is added to each chunk, and chunks overlap. `bytes_per_second` is per connection and direction; 0 means no limit.
    If `half_open`, connections stay open and no byte passes. `refuse` resets each new connection at once.
    """

    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    half_open: bool = False
    refuse: bool = False


class Proxy:
    """Listens on `port` and forwards bytes to and from `target`, with the present state of :attr:`link`."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.link = Link()
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self):
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self):
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        await self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self):
        """Reset every connection; return their number."""
        found = self.connections
        for writer in tuple(self._open):
            _reset(writer)
        return found

    @property
    def connections(self):
        """The number of open connections."""
        return len(self._open) // 2

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            if not self.link.refuse:
                await self._connect(reader, writer)
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            _reset(writer)

    async def _connect(self, reader, writer):
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = {writer, broker_writer}
        self._open |= pair
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, broker_writer))
                tasks.create_task(self._pass(broker_reader, writer))
        finally:
            self._open -= pair
            _reset(broker_writer)

    async def _pass(self, reader, writer):
        """Forward one direction until it ends, then raise an error that ends the other direction."""
        line = asyncio.Queue(_CHUNKS)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(line, writer))
            while data := await reader.read(_CHUNK_BYTES):
                await line.put((loop.time() + self.link.latency_seconds, data))
            await line.put((loop.time() + self.link.latency_seconds, b""))

    async def _deliver(self, line, writer):
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
            writer.write(data)
            await writer.drain()


def _reset(writer):
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
