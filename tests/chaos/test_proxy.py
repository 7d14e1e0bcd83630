"""The proxy applies the state of its link to a connection."""

import asyncio
import contextlib

import pytest
from support.running_broker import free_ports

from chaos.proxy import Link, Proxy


async def _echo(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def connected(link=None):
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    proxy = Proxy(*free_ports(1), server.sockets[0].getsockname()[1])
    proxy.link = link or Link()
    await proxy.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        yield proxy, reader, writer
        writer.close()
    finally:
        await proxy.stop()
        server.close()


async def _asked(reader, writer, data=b"hello"):
    writer.write(data)
    return await reader.readexactly(len(data))


@pytest.mark.parametrize(
    ("link", "size", "seconds"),
    [
        (Link(), 512_000, 0.0),
        (Link(latency_seconds=0.2), 5, 0.4),
        (Link(bytes_per_second=50_000), 10_000, 0.4),
    ],
    ids=["plain", "latency each way", "narrow"],
)
async def test_bytes_pass_both_ways_no_sooner_than_the_link_allows(link, size, seconds):
    async with connected(link) as (proxy, reader, writer):
        loop = asyncio.get_running_loop()
        began = loop.time()
        data = bytes(number % 251 for number in range(size))
        assert await _asked(reader, writer, data) == data
        assert loop.time() - began >= seconds
        assert proxy.connections == 1


async def test_half_open_passes_nothing_until_it_is_healed():
    async with connected() as (proxy, reader, writer):
        await _asked(reader, writer)
        proxy.link = Link(half_open=True)
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.3)
        assert proxy.connections == 1
        proxy.link = Link()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"late"


async def test_a_cut_resets_every_connection():
    async with connected() as (proxy, reader, writer):
        await _asked(reader, writer)
        assert await proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_refused_connections_are_reset():
    async with connected(Link(refuse=True)) as (_, reader, _writer):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
