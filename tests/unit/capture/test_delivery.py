"""What a delivery reports about a Kafka that does not answer."""

import asyncio
from contextlib import suppress

from serving.capture.producer import Delivery
from stream.settings import KafkaSettings


async def test_the_class_of_an_error_is_reported_once():
    reported = asyncio.Queue()
    delivery = Delivery(
        {"bootstrap_servers": "127.0.0.1:1"},
        KafkaSettings().names,
        1,
        on_status=reported.put_nowait,
        on_producer=lambda: None,
    )
    running = asyncio.create_task(delivery.run())
    try:
        async with asyncio.timeout(30):
            reason = await reported.get()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert reason.startswith("KafkaConnectionError: Unable to bootstrap")
