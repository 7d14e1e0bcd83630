"""An HTTP client that gets each connection back, or closes it, also if the caller is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, cast

import httpx

#: Time for the end of a response after its last event; a connection is used again only after its response has ended.
_END_SECONDS = 0.05


class UpstreamClient:
    """Opens connections and closes responses in its own tasks, which a cancellation of the caller does not interrupt.

    httpcore shields its clean-up from anyio's cancellation only. If ``Task.cancel`` or ``asyncio.timeout`` interrupts the clean-up or the opening of
    a connection, the pool neither uses nor closes this connection.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; return the response before its body is read. The caller must close the response."""
        opened = asyncio.get_running_loop().create_future()

        async def trace(event: str, _details: object) -> None:
            if event == "http11.send_request_headers.started" and not opened.done():
                opened.set_result(None)

        request.extensions["trace"] = trace
        sending = asyncio.create_task(self._client.send(request, stream=True))
        try:
            response = await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._start(_abandon(sending, opened))
            raise
        response.stream = _Stream(cast(httpx.AsyncByteStream, response.stream), self)
        return response

    async def end(self, response: httpx.Response) -> None:
        """Read the end of `response`, for at most 50 ms, and close the response."""
        await self.finish(_end(response))

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for `work`, which continues if the caller is cancelled."""
        await asyncio.shield(self._start(work))

    async def close(self) -> None:
        """Close all connections, and wait for the tasks; a connection that still opens has the client's time limit."""
        await self._client.aclose()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Stream(httpx.AsyncByteStream):
    """The body of a response: one iterator, which `_end` continues; a task of `client` closes it."""

    def __init__(self, stream: httpx.AsyncByteStream, client: UpstreamClient) -> None:
        self._stream = stream
        self._pieces: AsyncIterator[bytes] = aiter(stream)
        self._client = client

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        await self._client.finish(self._stream.aclose())


async def _abandon(sending: asyncio.Task[httpx.Response], opened: asyncio.Future[None]) -> None:
    """Cancel `sending` when its connection is open, or wait until the connection has failed."""
    either: set[asyncio.Future[Any]] = {sending, opened}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    sending.cancel()
    await asyncio.wait({sending})
    if not sending.cancelled() and sending.exception() is None:
        await sending.result().aclose()


async def _end(response: httpx.Response) -> None:
    reading = asyncio.create_task(_read(response))
    await asyncio.wait({reading}, timeout=_END_SECONDS)
    await response.aclose()  # ends the reading too; a cancellation could interrupt httpcore's clean-up
    await asyncio.wait({reading})


async def _read(response: httpx.Response) -> None:
    with suppress(httpx.HTTPError, OSError):
        async for _ in cast(httpx.AsyncByteStream, response.stream):
            pass
