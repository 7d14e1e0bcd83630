"""A score worker in a process of its own, over a laboratory's topics."""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1]


@asynccontextmanager
async def worker(lab, *options):
    """Run it; `options` are seconds a detector and the watchdog's bound. Killed at the end where it still runs."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    with (lab.directory / "worker.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(TESTS / "support" / "score_main.py"),
            lab.kafka.bootstrap_servers,
            lab.kafka.topic_prefix,
            str(lab.directory / "worker"),
            *options,
            env=environment,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
