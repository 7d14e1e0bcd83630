import asyncio

import pytest

from stream.stages.shared.stage import drain


class Feed:
    """A stream of raw events from a queue, which never ends."""

    def __init__(self, *events):
        self.queue = asyncio.Queue()
        for event in events:
            self.queue.put_nowait(event)

    def noack(self):
        return self

    async def events(self):
        while True:
            yield await self.queue.get()


async def test_waiting_events_are_handled_in_order_in_batches_and_a_single_event_immediately():
    feed, batches = Feed(*range(1000)), []
    done = asyncio.Event()

    async def handle(batch):
        batches.append(batch)
        if batch[-1] in {999, 1000}:
            done.set()

    task = asyncio.create_task(drain(feed, handle))
    await asyncio.wait_for(done.wait(), 5)
    assert [event for batch in batches for event in batch] == list(range(1000))
    assert max(map(len, batches)) <= 257
    assert len(batches) < 100
    done.clear()
    feed.queue.put_nowait(1000)
    await asyncio.wait_for(done.wait(), 5)
    assert batches[-1] == [1000]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_ends_the_agent_even_if_no_event_follows():
    async def handle(batch):
        raise LookupError(batch)

    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(drain(Feed(1), handle), 5)
    assert caught.group_contains(LookupError)
