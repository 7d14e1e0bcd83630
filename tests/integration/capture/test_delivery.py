"""A lease on a real producer: pending sends fail when the producer is lost, and an acknowledgement shows that Kafka accepts records."""

import asyncio
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer
from support.kafka_log import fresh_topics

from serving.capture.producer import Delivery, DeliveryLost, Lease

pytestmark = pytest.mark.kafka


async def test_a_send_that_waits_for_its_topic_fails_when_the_producer_is_lost(
    apache_broker,
):  # the embedded broker creates each requested topic
    producer = AIOKafkaProducer(bootstrap_servers=apache_broker.bootstrap)
    await producer.start()
    try:
        lease = Lease(producer)
        waiting = asyncio.create_task(lease.send("not-yet-created", 0, None, b"text", []))
        async with asyncio.timeout(20):
            while "not-yet-created" not in producer.client._topics:  # noqa: ASYNC110 - aiokafka has no event
                await asyncio.sleep(0.01)
        lease.lose("another spool's record was refused")
        with pytest.raises(DeliveryLost, match="another spool's"):
            await asyncio.wait_for(waiting, 10)
    finally:
        await producer.stop()


async def test_after_a_loss_kafka_accepts_records_when_it_acknowledges_one(broker):
    """A producer can start while Kafka acknowledges nothing, because too few replicas are in sync."""
    kafka, statuses = await fresh_topics(broker.bootstrap, partitions=1), []
    delivery = Delivery(
        kafka.client_options(),
        kafka.names,
        1,
        on_status=statuses.append,
        on_producer=lambda: statuses.append("started"),
    )
    running = asyncio.create_task(delivery.run())
    try:
        async with asyncio.timeout(60):
            (await delivery.lease()).lose("nothing was acknowledged")
            lost = ["started", "", "the producer was lost: nothing was acknowledged"]
            lease = await delivery.lease()
            assert statuses == [*lost, "started"]
            await (await lease.send(kafka.names.inference, 0, None, b"text", []))
            assert statuses == [*lost, "started", ""]
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
