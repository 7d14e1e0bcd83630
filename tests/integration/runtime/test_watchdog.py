"""The watchdog ends a worker if one agent hangs, although another agent works."""

import asyncio
from contextlib import suppress

import pytest

from stream.runtime.watchdog import Watchdog

pytestmark = pytest.mark.kafka


async def test_an_agent_that_hangs_while_another_works_ends_the_worker(lab):
    hanging, working, app = await lab.topic(), await lab.topic(), lab.app()
    app.watchdog_seconds = 2.0
    reasons, taken, done = [], [], []

    @app.agent(app.raw_topic(hanging, partitions=1))
    async def hangs(stream) -> None:
        async for event in stream.noack().events():
            taken.append(event)
            await asyncio.Event().wait()

    @app.agent(app.raw_topic(working, partitions=1))
    async def works(stream) -> None:
        async for event in stream.noack().events():
            done.append(event)
            app.acknowledge(event)

    async def ended() -> bool:
        await lab.produce(working, [b"w"])
        return f"1 unfinished record of {hanging}, and none was finished for 2 s" in reasons

    async with lab.running(app):
        await lab.produce(hanging, [b"h"])
        await lab.produce(working, [b"w"])
        await lab.eventually(lambda: taken and done)
        dog = asyncio.create_task(Watchdog(app, reasons.append).run())
        await lab.eventually(ended)
        dog.cancel()
        with suppress(asyncio.CancelledError):
            await dog
    assert len(taken) == 1
