"""Behaviour of aiokafka that Weir relies on and that is not documented."""

import asyncio
import gc
import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaError
from aiokafka.protocol import fetch

from stream.kafka.clients import discard_producer, paced

CLIENTS = "stream/kafka/clients.py"


async def test_a_consumer_sends_its_fetches_through_its_client():
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    send = consumer._client.send
    assert paced(consumer)._client.send != send
    assert "FetchRequest(" in inspect.getsource(Fetcher), f"look at paced in {CLIENTS}"
    await consumer.stop()


def test_records_are_the_last_field_of_a_partition_in_every_fetch_response_version():
    found = [kind for name, kind in vars(fetch).items() if name.startswith("FetchResponse_v")]
    assert found
    for response in found:
        topics = dict(zip(response.SCHEMA.names, response.SCHEMA.fields, strict=True))["topics"]
        partitions = dict(zip(topics.array_of.names, topics.array_of.fields, strict=True))["partitions"]
        assert partitions.array_of.names[-1] in {"message_set", "records"}, f"look at _is_empty in {CLIENTS}"


async def test_a_producer_that_was_never_started_can_be_discarded():
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    await discard_producer(producer)
    assert producer._closed


@pytest.mark.parametrize("retried", [False, True])
async def test_the_unsent_batches_of_a_discarded_producer_leave_no_error_in_the_log(retried):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    batch = producer.create_batch()
    assert batch.append(key=None, value=b"text", timestamp=None)
    batch.close()
    sent = await producer._message_accumulator.add_batch(batch, TopicPartition("topic", 0), 1)
    if retried:  # the broker did not answer; the sender takes the batch and puts it back
        taken = producer._message_accumulator._pop_batch(TopicPartition("topic", 0))
        producer._message_accumulator.reenqueue(taken)
        del taken
    await discard_producer(producer)
    with pytest.raises(KafkaError, match="abandoned"):
        await sent
    del batch, producer
    await asyncio.sleep(0)  # for the callbacks
    gc.collect()
    assert reported == []
