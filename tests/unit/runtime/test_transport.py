"""Order of fetches, seeks and resumes in a consumer, without a broker: no record is skipped (faust-streaming#596)."""

import asyncio
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NodeNotReadyError
from faust.types import TP

from stream.runtime import transport
from stream.runtime.app import create_base_app
from stream.settings import KafkaSettings

SOURCE, CHANGELOG = TP("source", 0), TP("changelog", 0)


class Thread:
    """Replaces Faust's thread around aiokafka; a fetch ends after `let_go` is set."""

    def __init__(self) -> None:
        self.log: list = []
        self.limits: list = []
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        self.committed: dict = {}
        self.ends = iter([{}])

    async def getmany(self, active_partitions, timeout):  # noqa: ASYNC109 - Faust's signature
        self.begun.set()
        self.limits.append(timeout)
        await self.let_go.wait()
        self.log.append(("fetched", set(active_partitions)))
        return {}

    async def seek_to_committed(self):
        self.log.append(("sought",))
        return self.committed

    async def seek_to_beginning(self, *partitions):
        self.log.append(("sought the beginning of", set(partitions)))

    async def highwaters(self, *partitions):
        found = next(self.ends)
        return {tp: found.get(tp, 9) for tp in partitions}

    async def seek_wait(self, partitions):
        self.log.append(("sought", dict(partitions)))


@pytest.fixture
async def consumer(tmp_path):
    app = create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=tmp_path)
    app.loop = asyncio.get_running_loop()
    consumer = app.consumer
    consumer._thread.thread_loop.close()
    consumer._thread = Thread()
    consumer._set_active_tps({CHANGELOG})
    return consumer


async def test_seeks_wait_for_the_fetch_in_progress(consumer):
    """If a rebalance interrupts a recovery, a fetch is still in progress.

    Without the wait, 1 of 5 tables lacked rows.
    """
    fetch = asyncio.create_task(consumer._getmany(consumer._get_active_partitions(), 1.0))
    await consumer._thread.begun.wait()
    seeks = [asyncio.create_task(consumer.perform_seek()), asyncio.create_task(consumer.seek_wait({CHANGELOG: 7}))]
    await asyncio.sleep(0)
    consumer._thread.let_go.set()
    await asyncio.gather(fetch, *seeks)
    assert consumer._thread.log == [("fetched", {CHANGELOG}), ("sought",), ("sought", {CHANGELOG: 7})]


async def test_a_recovery_waits_for_no_long_fetch_and_for_no_long_pause(consumer):
    consumer._thread.let_go.set()
    await consumer._getmany({CHANGELOG}, 1.0)
    consumer.app.tables.on_actives_ready()
    await consumer._getmany({SOURCE}, 1.0)
    assert consumer._thread.limits == [0.1, 1.0]
    consumer.sleep = AsyncMock()
    consumer._set_active_tps(set())  # the changelogs are read, and the other partitions not resumed yet
    assert await consumer._wait_next_records(1.0) == (None, None)
    consumer.sleep.assert_awaited_once_with(0.1)


@pytest.mark.parametrize("committed", [None, 0])
async def test_a_partition_without_a_committed_offset_is_read_from_its_beginning(consumer, monkeypatch, committed):
    """In a rebalance before the first commit, a fetch may have moved the position, and its records would be lost."""
    monkeypatch.setattr(consumer.app.topics, "acks_enabled_for", lambda topic: topic == SOURCE.topic)
    consumer._thread.committed = {SOURCE: committed, TP("source", 1): 5, CHANGELOG: None}
    await consumer.perform_seek()
    assert consumer._thread.log == [("sought",), ("sought the beginning of", {SOURCE})]


@pytest.mark.parametrize(("ends", "sought"), [([4, 4, 4], True), ([4, 4, 5], False)], ids=["recreated", "new leader"])
async def test_an_offset_past_the_end_counts_as_not_committed_after_three_looks(consumer, monkeypatch, ends, sought):
    monkeypatch.setattr(transport, "_END_SECONDS", 0)
    monkeypatch.setattr(consumer.app.topics, "acks_enabled_for", lambda topic: topic == SOURCE.topic)
    consumer._thread.committed = {SOURCE: 5, CHANGELOG: 7}
    consumer._thread.ends = iter([{SOURCE: end} for end in ends])
    await consumer.perform_seek()
    assert consumer._thread.log == [("sought",), *[("sought the beginning of", {SOURCE})] * sought]
    assert consumer._read_offset == {SOURCE: 0 if sought else 5, CHANGELOG: 7}


async def test_a_fetch_reads_the_partitions_that_were_active_at_its_start(consumer):
    """aiokafka fetches from all partitions if the set of partitions is empty."""
    fetch = asyncio.create_task(consumer._getmany(consumer._get_active_partitions(), 1.0))
    await consumer._thread.begun.wait()
    consumer.pause_partitions({CHANGELOG})
    consumer._thread.let_go.set()
    await fetch
    assert consumer._thread.log == [("fetched", {CHANGELOG})]


async def test_a_fetch_that_waited_while_all_partitions_were_paused_fetches_nothing(consumer):
    consumer._thread.let_go.set()
    async with consumer._position:
        fetch = asyncio.create_task(consumer._getmany(consumer._get_active_partitions(), 1.0))
        consumer.pause_partitions({CHANGELOG})
    assert await fetch == {}
    assert consumer._thread.log == []


async def test_a_resumed_partition_is_fetched_when_the_flow_resumes(consumer):
    consumer.resume_partitions({SOURCE})
    assert consumer._get_active_partitions() == {CHANGELOG}
    consumer.resume_flow()
    assert consumer._get_active_partitions() == {CHANGELOG, SOURCE}


async def test_a_partition_that_is_paused_before_the_flow_resumes_stays_paused(consumer):
    consumer.resume_partitions({SOURCE, CHANGELOG})
    consumer.pause_partitions({SOURCE})
    consumer.resume_flow()
    assert consumer._get_active_partitions() == {CHANGELOG}


async def test_a_partition_whose_queue_was_full_stays_paused_through_a_recovery(consumer):
    """During recovery, the agent reads the rest of its queue.

    Faust would then fetch the partition and process it with an incomplete state.
    """
    consumer._set_active_tps({SOURCE, CHANGELOG})
    consumer.on_buffer_full(SOURCE)
    consumer.pause_partitions({SOURCE, CHANGELOG})
    consumer.on_buffer_drop(SOURCE)
    assert consumer._get_active_partitions() == set()
    consumer.resume_partitions({SOURCE})
    consumer.resume_flow()
    assert consumer._get_active_partitions() == {SOURCE}


async def test_a_revoked_partition_is_not_in_the_set_of_full_queues(consumer, monkeypatch):
    """Faust delivers the fetched records of a partition in this set.

    After a rebalance they would belong to an earlier assignment.
    """
    monkeypatch.setattr(consumer, "_on_partitions_revoked", AsyncMock())
    consumer._set_active_tps({SOURCE})
    consumer.on_buffer_full(SOURCE)
    await consumer.on_partitions_revoked({SOURCE})
    assert consumer._buffered_partitions == set()


@pytest.mark.parametrize(("brokers", "wanted"), [(1, 1), (2, 2), (5, 3)])
async def test_a_changelog_has_as_many_replicas_as_the_other_topics(consumer, monkeypatch, brokers, wanted):
    made = AsyncMock()
    monkeypatch.setattr("faust.transport.drivers.aiokafka.Transport._create_topic", made)
    client = SimpleNamespace(cluster=SimpleNamespace(brokers=lambda: set(range(brokers))))
    await consumer.transport._create_topic(consumer, client, "changelog", 4, 1, compacting=True)
    config = {"message.timestamp.type": "LogAppendTime", "segment.bytes": "67108864"}
    made.assert_awaited_once_with(consumer, client, "changelog", 4, wanted, config=config, compacting=True)


@pytest.fixture
async def producer(tmp_path):
    app = create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=tmp_path)
    app.loop = asyncio.get_running_loop()
    return app.producer


class Kafka:
    """A producer of aiokafka that records the topics whose metadata is requested and the topics of sent records."""

    def __init__(self, error=None):
        self.did, self.error = [], error
        self.client = SimpleNamespace(add_topic=lambda topic: self.did.append(("requests", topic)))

    async def send(self, topic, value, **_options):
        if self.error:
            raise self.error
        self.did.append(("sends to", topic))


async def test_the_metadata_of_a_topic_is_requested_before_each_send(producer):
    producer._producer = Kafka()
    for topic in ("alerts", "changelog"):
        await producer.send(topic, b"k", b"v", 0, None, [])
    did = [("requests", "alerts"), ("sends to", "alerts"), ("requests", "changelog"), ("sends to", "changelog")]
    assert producer._producer.did == did


@pytest.mark.parametrize("error", [MessageSizeTooLargeError("2 MiB"), KafkaTimeoutError()])
async def test_a_failed_send_raises_the_error_of_aiokafka(producer, error):
    producer._producer = Kafka(error)
    with pytest.raises(type(error)) as raised:
        await producer.send("alerts", b"k", b"v", 0, None, [])
    assert raised.value is error


async def test_a_send_before_the_start_raises_an_error_of_aiokafka(producer):
    with pytest.raises(NodeNotReadyError):
        await producer.send("alerts", b"k", b"v", 0, None, [])
