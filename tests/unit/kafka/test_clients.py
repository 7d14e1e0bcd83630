import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from stream.kafka.clients import admin_for, consumer_for, new_producer, paced, producer_for, start_client, stop_consumer


class Fetcher:
    """A fetcher that closes as that of aiokafka: it awaits the task that it has cancelled, or it fails."""

    def __init__(self, error=None):
        self._error = error

    async def close(self):
        if self._error is not None:
            raise self._error
        fetch = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        fetch.cancel()
        await fetch


@pytest.fixture
async def consumer(monkeypatch):
    plain = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    plain.closed_clients = []

    async def close():
        plain.closed_clients.append(plain._client)

    monkeypatch.setattr(plain._client, "close", close)
    yield plain
    plain._closed = True  # nothing was connected, and the finalizer would warn that the consumer is not closed


async def test_a_fetch_that_stop_cancels_does_not_cancel_the_caller_and_connections_are_closed(consumer):
    consumer._fetcher = Fetcher()
    await stop_consumer(consumer)
    assert consumer.closed_clients == [consumer._client]


async def test_a_caller_that_is_cancelled_during_the_stop_closes_the_connections(consumer):
    closing, answer = asyncio.Event(), asyncio.Event()

    async def close():
        closing.set()
        await answer.wait()

    consumer._fetcher = SimpleNamespace(close=close)
    stopping = asyncio.create_task(stop_consumer(consumer))
    await closing.wait()
    stopping.cancel()
    await asyncio.sleep(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert consumer.closed_clients == [consumer._client]


async def test_other_errors_of_stop_are_raised(consumer):
    consumer._fetcher = Fetcher(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await stop_consumer(consumer)


async def test_a_consumer_that_cannot_start_is_stopped(consumer, monkeypatch):
    async def start():
        raise OSError("no broker")

    monkeypatch.setattr(consumer, "start", start)
    monkeypatch.setattr("stream.kafka.clients.AIOKafkaConsumer", lambda **_options: consumer)
    with pytest.raises(OSError, match="no broker"):
        async with consumer_for({}):
            pytest.fail("it did not start")
    assert consumer.closed_clients == [consumer._client]


async def test_no_acknowledged_record_is_lost_and_no_deleted_offset_is_skipped_by_default(monkeypatch):
    producer, options = new_producer({"bootstrap_servers": "127.0.0.1:1"}), {}

    def new(**given):
        options.update(given)
        raise OSError

    monkeypatch.setattr("stream.kafka.clients.AIOKafkaConsumer", new)
    with pytest.raises(OSError):
        async with consumer_for({}):
            pass
    await producer.stop()
    assert producer._sender._acks == -1, "all in-sync replicas"
    assert (options["group_id"], options["enable_auto_commit"], options["auto_offset_reset"]) == (None, False, "none")


async def test_a_producer_whose_stop_is_cancelled_ends_its_sender_and_closes_its_connections(monkeypatch):
    monkeypatch.setattr("stream.kafka.clients._END_SECONDS", 0.01)
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    delivering, closed = asyncio.Event(), []

    async def start():
        producer._sender._sender_task = asyncio.create_task(asyncio.Event().wait())

    async def deliver():
        delivering.set()
        await asyncio.Event().wait()

    async def close():
        closed.append(producer.client)

    async def use():
        async with producer_for({}):
            pass

    monkeypatch.setattr(producer, "start", start)
    monkeypatch.setattr(producer._message_accumulator, "close", deliver)
    monkeypatch.setattr(producer.client, "close", close)
    monkeypatch.setattr("stream.kafka.clients.AIOKafkaProducer", lambda **_options: producer)
    using = asyncio.create_task(use())
    await delivering.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert closed == [producer.client]
    assert producer._sender.sender_task.cancelling()
    await asyncio.wait({producer._sender.sender_task})


async def test_a_task_that_is_cancelled_while_its_admin_client_closes_ends(monkeypatch):
    client = AIOKafkaAdminClient(bootstrap_servers="127.0.0.1:1")
    closing, answer = asyncio.Event(), asyncio.Event()

    async def start():
        client._closed = False
        client._client._sync_task = asyncio.create_task(synchronise())
        await asyncio.sleep(0)

    async def synchronise():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            closing.set()
            await answer.wait()
            raise

    async def use():
        async with admin_for({}):
            pass

    monkeypatch.setattr(client, "start", start)
    monkeypatch.setattr("stream.kafka.clients.AIOKafkaAdminClient", lambda **_options: client)
    using = asyncio.create_task(use())
    await closing.wait()
    using.cancel()
    await asyncio.sleep(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert client._closed


class Broker:
    """A client whose broker answers each request with the same records."""

    def __init__(self, *records: bytes):
        self.response = SimpleNamespace(topics=[("t", [(number, 0, 9, value) for number, value in enumerate(records)])])

    async def send(self, node_id, request):
        return self.response


@pytest.mark.parametrize(
    ("request_class", "records", "pauses"),
    [(FetchRequest, (b"", b""), 1), (FetchRequest, (b"", b"records"), 0), (OffsetRequest, (b"", b""), 0)],
)
async def test_only_a_fetch_without_records_is_followed_by_a_pause(monkeypatch, request_class, records, pauses):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    broker = Broker(*records)
    reader = paced(SimpleNamespace(_client=broker))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await reader._client.send(1, object.__new__(request_class)) is broker.response
    assert len(slept) == pauses
    assert all(0 <= seconds <= 0.02 for seconds in slept)


class Starting:
    """A client that requests metadata at its start; if the start is cancelled during the request, its connection stays
    open.
    """

    def __init__(self):
        self.asked, self.answer, self.ends = asyncio.Event(), asyncio.Event(), []

    async def start(self):
        self.asked.set()
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        self.ends.append("started")


async def cancelled_while_it_asks(client):
    starting = asyncio.create_task(start_client(client))
    await client.asked.wait()
    starting.cancel()
    await asyncio.sleep(0)
    return starting


async def test_a_cancelled_caller_waits_until_the_start_has_ended():
    client = Starting()
    starting = await cancelled_while_it_asks(client)
    client.answer.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.ends == ["started"]


async def test_a_start_without_an_answer_is_cancelled_after_a_limit(monkeypatch):
    monkeypatch.setattr("stream.kafka.clients._END_SECONDS", 0.01)
    client = Starting()
    starting = await cancelled_while_it_asks(client)
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.ends == ["cancelled"]


async def test_a_caller_that_is_cancelled_again_leaves_no_start_running():
    client = Starting()
    starting = await cancelled_while_it_asks(client)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.ends == ["cancelled"]
