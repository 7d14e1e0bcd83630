"""The alias `champion` in MLflow: changed champions are sent, and a failure is retried."""

import asyncio
import contextlib
import json
import sys

from support.kafka_log import until

from stream.loop.delivery import champions
from stream.loop.delivery.champions import ChampionAliases
from stream.wire import RouteRecord

# A program that fails at its first call and then writes its argument to a file.
_PROGRAM = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
if not (folder / "failed").exists():
    (folder / "failed").touch()
    sys.exit("weir: away")
with (folder / "calls").open("a") as file:
    file.write(sys.argv[2] + chr(10))
print("[]")
"""


def route(champion, model="m"):
    return RouteRecord(
        tenant="acme",
        model=model,
        epoch=1,
        at=0.0,
        champion=champion,
        weights={champion: 100},
        reason="",
        by="delivery",
    )


async def calls_of(folder, count):
    file = folder / "calls"
    await until("the calls", lambda: file.exists() and len(file.read_text().splitlines()) == count)
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_changed_champions_are_sent_and_a_failure_is_retried(tmp_path):
    aliases = ChampionAliases(
        lambda changes: [sys.executable, "-c", _PROGRAM, str(tmp_path), changes], retry_seconds=0.01
    )
    running = asyncio.create_task(aliases.run())
    aliases.show([route("m_1"), route("base", "n")])
    assert await calls_of(tmp_path, 1) == [[["acme", "m", "m_1"], ["acme", "n", "base"]]]
    aliases.show([route("m_1"), route("m_2", "n")])
    assert (await calls_of(tmp_path, 2))[1] == [["acme", "n", "m_2"]]
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_without_mlflow_no_program_runs():
    aliases = ChampionAliases(None)
    aliases.show([route("m_1")])
    await asyncio.wait_for(aliases.run(), 1)


async def test_the_warning_about_a_program_that_does_not_end_has_the_limit(monkeypatch, caplog):
    monkeypatch.setattr(champions, "_TIMEOUT_SECONDS", 0.2)
    aliases = ChampionAliases(lambda _changes: [sys.executable, "-c", "import time; time.sleep(60)"])
    running = asyncio.create_task(aliases.run())
    aliases.show([route("m_1")])
    (warning,) = await until("the warning", lambda: caplog.messages)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert warning.endswith("did not end within 0.2 s")
