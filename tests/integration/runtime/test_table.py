"""Tables: each write waits for the changelog, and the next worker restores the table from the changelog."""

import asyncio

import pytest
from aiokafka.errors import MessageSizeTooLargeError

pytestmark = pytest.mark.kafka


def counting(lab, topic, app_id="", partitions=2):
    app = lab.app(app_id)
    table = app.raw_table("counts", partitions)
    order: list[str] = []

    @app.agent(app.raw_topic(topic, partitions=partitions))
    async def agent(stream) -> None:
        async for event in stream.noack().events():
            key = event.message.key
            count = int(table.get(key) or b"0") + 1
            await table.put(key, b"%d" % count, partition=event.message.partition)
            order.append("put")
            app.acknowledge(event)

    return app, table, order


async def test_a_second_worker_continues_from_the_changelog(lab):
    topic = await lab.topic(partitions=2)
    app, table, done = counting(lab, topic)
    await lab.produce(topic, [b"x"] * 3, partition=0, key=b"a")
    await lab.produce(topic, [b"x"] * 5, partition=1, key=b"b")
    async with lab.running(app):
        await lab.eventually(lambda: len(done) == 8)
        await lab.commit(app, topic, {0: 3, 1: 5})
        changelog = table.changelog_topic_name
    records = await lab.read(changelog, 2)
    assert {(record.partition, record.key) for record in records} == {(0, b"a"), (1, b"b")}

    again, table, done = counting(lab, topic, app.conf.id)
    await lab.produce(topic, [b"x"], partition=1, key=b"b")
    async with lab.running(again):
        await lab.eventually(lambda: len(done) == 1)
        assert dict(table.items()) == {b"a": b"3", b"b": b"6"}


async def test_no_record_is_delivered_between_the_seek_and_the_clearing_of_the_queues(lab):
    """Such a record can be lost, because the position of its partition is already after the record (faust-streaming#596)."""
    topic = await lab.topic(partitions=2)
    app, table, done = counting(lab, topic)
    await lab.produce(topic, [b"x"], partition=1, key=b"b")
    async with lab.running(app):
        await lab.eventually(lambda: len(done) == 1)
        await lab.commit(app, topic, {1: 1})

    again, table, done = counting(lab, topic, app.conf.id)
    again.loop = asyncio.get_running_loop()
    await lab.produce(topic, [b"x"], partition=1, key=b"b")
    early: list[int] = []
    consumer = again.consumer
    seek, next_records = consumer.perform_seek, consumer._wait_next_records
    rounds = 0

    async def counted(seconds: float):
        nonlocal rounds
        records = await next_records(seconds)
        rounds += 1
        return records

    async def dawdling_seek() -> None:
        await seek()
        before = rounds
        await lab.eventually(lambda: rounds >= before + 2)
        early.append(len(done))

    consumer.perform_seek, consumer._wait_next_records = dawdling_seek, counted
    async with lab.running(again):
        await lab.eventually(lambda: len(done) == 1)
    assert early == [0]
    assert dict(table.items()) == {b"b": b"2"}


async def test_a_write_that_the_broker_rejects_does_not_change_the_table(lab):
    topic = await lab.topic(partitions=2)
    app, table, done = counting(lab, topic)
    await lab.produce(topic, [b"x"], key=b"a")
    async with lab.running(app):
        await lab.eventually(lambda: len(done) == 1)
        with pytest.raises(MessageSizeTooLargeError):
            await table.put(b"a", b"y" * 3_000_000, partition=0)
        assert table[b"a"] == b"1"


async def test_an_assignment_without_await_is_an_error(lab):
    _, table, _ = counting(lab, "unused")
    with pytest.raises(TypeError, match="not awaited"):
        table[b"a"] = b"1"
    assert b"a" not in table


async def test_a_removed_key_stays_removed(lab):
    topic = await lab.topic(partitions=2)
    app, table, done = counting(lab, topic)
    await lab.produce(topic, [b"x"], key=b"a")
    async with lab.running(app):
        await lab.eventually(lambda: len(done) == 1)
        await lab.commit(app, topic, {0: 1})
        await table.remove(b"a", partition=0)
        assert b"a" not in table
    again, table, _ = counting(lab, topic, app.conf.id)
    async with lab.running(again):
        assert b"a" not in table
