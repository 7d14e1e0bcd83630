"""A backlog that needs hours: Faust fetches all of it at once, and fetches again only after the agent read the last record."""

import asyncio

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState

pytestmark = pytest.mark.kafka

#: More than the buffer between Faust and the agent.
EVENTS = 600
HOUR = 3600.0


async def test_a_worker_keeps_its_partitions_an_hour_after_its_last_fetch(lab, monkeypatch):
    """aiokafka leaves the group after `max_poll_interval_ms` without a fetch, and Faust's default is 1,000 s."""
    topic, app, release = await lab.topic(), lab.app(), asyncio.Event()
    taken, done, checks = [], [], []

    def idle_time(state):
        idle = HOUR if taken and not state._fetch_count else 0.0
        checks.append(idle)
        return idle

    @app.agent(app.raw_topic(topic, partitions=1))
    async def agent(stream) -> None:
        async for event in stream.noack().events():
            taken.append(event)
            await release.wait()
            done.append(event.message.offset)
            app.acknowledge(event)

    monkeypatch.setattr(SubscriptionState, "fetcher_idle_time", property(idle_time))
    await lab.produce(topic, [b"%d" % n for n in range(EVENTS)])
    async with lab.running(app):
        await lab.eventually(lambda: checks.count(HOUR) >= 3)
        release.set()
        await lab.eventually(lambda: len(done) >= EVENTS)

        async def committed() -> bool:
            await app.consumer.commit()
            return await lab.committed(app.conf.id, topic) == EVENTS

        await lab.eventually(committed)
    assert done == list(range(EVENTS)), "a worker that leaves the group processes records again"
