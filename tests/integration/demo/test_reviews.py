"""The corrections of the demo on a real Kafka: the demo waits until the log has all corrections."""

import time

import pytest
from support.events import event_of
from support.kafka_log import fresh_topics, sender

from stream.wire import CorrectionRecord
from weir.demo.reviews import delivered
from weir.errors import StackError

pytestmark = pytest.mark.kafka


def correction(request_id):
    data = CorrectionRecord(request_id=request_id, tenant="acme", at=1.0, answer="better")
    return event_of(data, f"{request_id}/correction/1", 1.0, source="g")


async def test_the_demo_waits_until_kafka_has_each_correction(broker):
    kafka = await fresh_topics(broker.bootstrap)
    began, wanted = time.time(), frozenset({"r1", "r2"})
    async with sender(kafka) as to:
        await to.send(kafka.names.inference, correction("r1"), correction("r1"), correction("r9"))
        with pytest.raises(StackError, match="1 of 2 corrections"):
            await delivered(kafka, wanted, began, limit_seconds=3)
        await to.send(kafka.names.inference, correction("r2"), partition=1)
    await delivered(kafka, wanted, began)
    await delivered(kafka, frozenset(), began)
