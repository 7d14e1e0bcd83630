"""Wait for a pipeline of the shipper."""

import asyncio

from serving.capture.pipeline import DeliveryLimits

LIMITS = DeliveryLimits(poll_seconds=0.001, save_seconds=0.0, stall_seconds=30)


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions on files and lists, which set no event
            await asyncio.sleep(0.001)


async def finish(stop, task):
    stop.set()
    await task
