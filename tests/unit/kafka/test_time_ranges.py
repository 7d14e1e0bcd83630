"""The wait for a topic that cannot be read."""

import asyncio
from contextlib import suppress

from stream.kafka.time_ranges import data_range


async def test_a_wait_for_a_topic_that_cannot_be_read_reports_progress():
    """Without this progress, the watchdog would end the worker although its other agents work."""
    options, attempts = {"bootstrap_servers": "127.0.0.1:1"}, asyncio.Semaphore(0)
    waiting = asyncio.create_task(data_range(options, "weir.inference", 1, 0.0, 1.0, progress=attempts.release))
    async with asyncio.timeout(30):
        for _attempt in range(2):
            await attempts.acquire()
    assert not waiting.done()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
