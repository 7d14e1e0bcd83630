"""Connections to another server after a request is cancelled: each one is used again or closed."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from support.scripted_upstream import WHOLE, Answer, stream_of

from serving.backend import ModelRequest
from serving.settings import ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend


@pytest.fixture
async def backend(upstream):
    settings = ModelSettings(engine="upstream", base_url=upstream.url, upstream_retries=0)
    backend = UpstreamBackend("m", settings, UpstreamMetrics(CollectorRegistry()))
    yield backend
    await backend.close()


async def answered(backend, *, stream=False):
    body = {"model": "m", "messages": [], "stream": stream}
    request = ModelRequest(request_id="1", operation="chat", body=body)
    return [item async for item in backend.generate(request)]


@pytest.mark.parametrize(
    ("answer", "stream"), [(Answer.json(WHOLE), False), (Answer(*stream_of("a")), True)], ids=["whole", "stream"]
)
async def test_a_cancellation_at_any_turn_of_the_loop_loses_no_connection(backend, upstream, answer, stream):
    upstream.script, pool = [answer], backend._client._transport._pool
    for turns in range(60):
        asking = asyncio.create_task(answered(backend, stream=stream))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        await until_free(pool)
        for connection in pool.connections:  # so that the next request opens a connection
            await connection.aclose()


async def until_free(pool):
    async with asyncio.timeout(20):
        while True:
            if not pool._requests and all(connection.is_idle() for connection in pool.connections):
                return
            await asyncio.sleep(0.001)


async def test_the_end_of_a_stream_that_never_ends_is_not_awaited_and_its_connection_is_closed(backend, upstream):
    upstream.script = [Answer(*stream_of("a"), "hang")]
    assert len(await answered(backend, stream=True)) == 3
    assert backend._client._transport._pool.connections == []


async def test_a_request_that_is_cancelled_during_the_handshake_leaves_no_connection():
    greeted, left = asyncio.Event(), asyncio.Event()

    async def serve(reader, writer):
        await reader.read(1)
        greeted.set()
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    settings = ModelSettings(engine="upstream", base_url=url, upstream_connect_seconds=0.3)
    backend = UpstreamBackend("m", settings, UpstreamMetrics(CollectorRegistry()))
    asking = asyncio.create_task(answered(backend))
    await greeted.wait()
    asking.cancel()
    await asyncio.wait({asking})
    await backend.close()
    async with asyncio.timeout(20):
        await left.wait()
    server.close()
