import asyncio
import os
import sys

import pytest
from support.kafka_log import until

from stream.child_process import run_child

_PYTHON = [sys.executable, "-c"]


async def test_a_command_returns_its_status_its_output_and_the_last_line_of_its_errors():
    text = "import sys; assert not sys.stdin.read(); print(1); sys.exit('first\\nlast')"
    assert await run_child([*_PYTHON, text], 60) == (1, b"1\n", "last")
    assert await run_child([*_PYTHON, "print(2)"], 60) == (0, b"2\n", "")


@pytest.mark.parametrize(
    "ignored", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"], ids=["ends", "ignores SIGTERM"]
)
async def test_a_command_that_is_not_waited_for_ends(tmp_path, monkeypatch, ignored):
    monkeypatch.setattr("stream.child_process._STOP_SECONDS", 0.1 if ignored else 1e6)
    begun = tmp_path / "begun"
    text = f"""
import os, pathlib, signal, time
{ignored}
pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))
time.sleep(1000)
"""
    running = asyncio.create_task(run_child([*_PYTHON, text], 60))
    await until("the command has begun", lambda: begun.exists() and begun.read_text(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


async def test_a_command_beyond_its_time_is_an_error():
    with pytest.raises(TimeoutError):
        await run_child([*_PYTHON, "import time; time.sleep(1000)"], 0.05)
