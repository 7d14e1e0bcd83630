"""Sockets on which uvicorn listens."""

import asyncio
import socket

import pytest
from support.stack import free_port

from serving.intake import server
from serving.listener import listening
from serving.settings import IntakeSettings


@pytest.mark.parametrize(
    "listener", [lambda: listening("127.0.0.1", 0), lambda: server._listener(IntakeSettings(port=free_port()))]
)
async def test_a_reply_does_not_wait_for_the_acknowledgement_of_its_headers(listener):
    options = asyncio.get_running_loop().create_future()

    async def connected(_reader, writer):
        options.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    opened = listener()
    async with await asyncio.start_server(connected, sock=opened):
        socket.create_connection(opened.getsockname()).close()
        assert await options
