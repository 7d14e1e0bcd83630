"""The proxy does to a connection what its link says."""

import asyncio
import contextlib
import socket

import pytest

from chaos.proxy import Link, Proxy


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def _echo(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxied(link=None):
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    proxy = Proxy(_free_port(), server.sockets[0].getsockname()[1])
    proxy.link = link or Link()
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()


@contextlib.asynccontextmanager
async def connected(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _asked(reader, writer, data=b"hello"):
    writer.write(data)
    return await reader.readexactly(len(data))


async def test_it_passes_bytes_both_ways():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        data = bytes(range(256)) * 2000
        assert await _asked(reader, writer, data) == data
        assert proxy.passed == 2 * len(data)
        assert proxy.connections == 1


async def test_latency_is_added_to_each_way():
    async with proxied(Link(latency_seconds=0.2)) as proxy, connected(proxy) as (reader, writer):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await _asked(reader, writer)
        assert loop.time() - began >= 0.4


async def test_a_narrow_line_takes_its_time():
    async with proxied(Link(bytes_per_second=50_000)) as proxy, connected(proxy) as (reader, writer):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await _asked(reader, writer, b"x" * 10_000)
        assert loop.time() - began >= 0.4


async def test_half_open_passes_nothing_until_it_is_healed():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await _asked(reader, writer)
        proxy.link = Link(half_open=True)
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        assert proxy.connections == 1
        proxy.link = Link()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"late"


async def test_a_cut_resets_every_connection():
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await _asked(reader, writer)
        assert await proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_refused_connections_are_reset():
    async with proxied(Link(refuse=True)) as proxy:
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            async with connected(proxy) as (reader, _):
                await reader.readexactly(1)
