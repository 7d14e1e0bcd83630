"""A lease on a real producer: pending sends fail when the producer is lost."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer

from serving.capture.producer import DeliveryLost, Lease

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
