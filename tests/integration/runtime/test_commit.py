"""A commit stays before an unfinished event although later events are finished (docs/design/traps.md 1, fault F8)."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

pytestmark = pytest.mark.kafka


def slow_head(app, topic, head: int, release: asyncio.Event, done: list[int]):
    """Define an agent that finishes every event at once, except the event at offset `head`, which waits for `release`."""

    async def finish(event) -> None:
        if event.message.offset == head:
            await release.wait()
        done.append(event.message.offset)
        app.acknowledge(event)

    @app.agent(app.raw_topic(topic, partitions=1))
    async def agent(stream) -> None:
        tasks = set()
        async for event in stream.noack().events():
            task = asyncio.ensure_future(finish(event))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    return agent


async def test_a_commit_stays_before_a_message_in_flight(lab):
    topic = await lab.topic()
    app, release, done = lab.app(), asyncio.Event(), []
    slow_head(app, topic, 2, release, done)
    await lab.produce(topic, [b"%d" % n for n in range(8)])
    async with lab.running(app):
        await lab.eventually(lambda: len(done) == 7)
        await app.consumer.commit()
        assert await lab.committed(app.conf.id, topic) == 2
        release.set()

        async def all_done() -> bool:
            await app.consumer.commit()
            return await lab.committed(app.conf.id, topic) == 8

        await lab.eventually(all_done)


async def test_stopping_with_messages_in_flight_commits_none_of_them(lab):
    topic = await lab.topic()
    app, release, done = lab.app(), asyncio.Event(), []
    slow_head(app, topic, 0, release, done)
    await lab.produce(topic, [b"%d" % n for n in range(8)])
    async with lab.running(app):
        await lab.eventually(lambda: len(done) == 7)
    assert await lab.committed(app.conf.id, topic) in (None, 0)
    release.set()


async def test_a_tombstone_reaches_the_agent(lab):
    topic = await lab.topic()
    app, seen = lab.app(), []

    @app.agent(app.raw_topic(topic, partitions=1))
    async def agent(stream) -> None:
        async for event in stream.noack().events():
            seen.append(event.message.value)
            app.acknowledge(event)

    await lab.produce(topic, [b"a", None, b"b"])
    async with lab.running(app):
        await lab.eventually(lambda: len(seen) == 3)
    assert seen == [b"a", None, b"b"]


async def test_an_offset_past_the_end_of_a_topic_that_was_created_again_counts_as_not_committed(lab):
    topic = await lab.topic()
    app, done = lab.app(), []
    slow_head(app, topic, -1, asyncio.Event(), done)
    await lab.produce(topic, [b"%d" % n for n in range(3)])
    consumer = AIOKafkaConsumer(**lab.kafka.client_options(), group_id=app.conf.id, enable_auto_commit=False)
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.commit({TopicPartition(topic, 0): 50})
    async with lab.running(app):
        await lab.eventually(lambda: done == [0, 1, 2])
        await app.consumer.commit()
    assert await lab.committed(app.conf.id, topic) == 3
