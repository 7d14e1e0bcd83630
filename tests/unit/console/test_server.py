"""The console's thread: a failure is logged and reported, and then the console restarts."""

import asyncio
import socket
from contextlib import ExitStack

import httpx
from click.testing import CliRunner
from support.console_server import connects
from support.kafka_log import until
from support.stack import free_port

from weir.cli import main
from weir.console import server
from weir.console.server import Console
from weir.console.sessions import token_path
from weir.settings import Settings, load_settings


async def test_a_console_that_fails_is_reported_and_restarts(tmp_path, monkeypatch, caplog):
    port = free_port()
    monkeypatch.setattr(server, "_RETRY_SECONDS", 0.2)
    failures = iter([RuntimeError("no version of weir"), RuntimeError("no version of weir")])

    def failing(*arguments):
        for failure in failures:
            raise failure
        return whole(*arguments)

    whole = server.console_app
    monkeypatch.setattr(server, "console_app", failing)
    health = {}
    console = Console(Settings().model_copy(update={"home": tmp_path}), port, health).start()
    try:
        (reason,) = (await until("it says so", health.copy)).values()
        assert "RuntimeError: no version of weir" in reason
        await until("it serves", lambda: not health and connects(port))
    finally:
        console.stop()
    (record,) = [one for one in caplog.records if one.name == "weir.console.server"]
    assert record.exc_info is not None, "one log record with the location of the failure"


async def test_a_token_that_changed_after_the_start_of_the_console_is_an_error_of_the_command(tmp_path, monkeypatch):
    """A link of the new token would never work, and its page would ask for the same command again."""
    port = free_port()
    (tmp_path / "weir.toml").write_text(f"[console]\nport = {port}\n")
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    console = Console(load_settings().settings, port, {}).start()
    try:
        await until("it serves", lambda: connects(port))
        works = await asyncio.to_thread(CliRunner().invoke, main, ["console"])
        token_path(tmp_path).unlink()
        refused = await asyncio.to_thread(CliRunner().invoke, main, ["console"])
    finally:
        console.stop()
    assert (works.exit_code, f":{port}/?token=" in works.stdout) == (0, True)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"{token_path(tmp_path)} changed after the console" in refused.stderr


async def test_connections_that_send_no_request_do_not_block_others(tmp_path, monkeypatch):
    monkeypatch.setattr(server._Protocol, "header_seconds", 0.2)
    port = free_port()
    console = Console(Settings().model_copy(update={"home": tmp_path}), port, {}).start()
    address = f"http://127.0.0.1:{port}/"
    try:
        await until("it serves", lambda: connects(port))
        with ExitStack() as idle:
            for _ in range(server._MAX_REQUESTS + 1):
                idle.enter_context(socket.create_connection(("127.0.0.1", port)))
            async with httpx.AsyncClient() as client:
                await until("it answers", lambda: _status(client, address, 401))
    finally:
        console.stop()


async def _status(client, address, wanted):
    return (await client.get(address)).status_code == wanted


async def test_an_address_that_the_console_cannot_use_is_reported_with_its_settings(tmp_path):
    """The address is of no interface of this machine, so no program can free it."""
    settings = Settings(console={"host": "192.0.2.1"}).model_copy(update={"home": tmp_path})
    health = {}
    console = Console(settings, free_port(), health).start()
    try:
        (reason,) = (await until("it says so", health.copy)).values()
    finally:
        console.stop()
    assert reason.endswith("set console.host and console.port to a free address of this machine")
