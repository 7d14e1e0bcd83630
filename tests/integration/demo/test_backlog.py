"""The position of score, read from a real Kafka."""

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from support.kafka_log import fresh_topics, sender

from stream.settings import KafkaSettings
from weir.demo.backlog import Position, score_position

pytestmark = pytest.mark.kafka


async def with_records(broker) -> KafkaSettings:
    """Return Kafka settings with five records on the topic that score reads."""
    kafka = await fresh_topics(broker.bootstrap)
    async with sender(kafka) as to:
        for index in range(5):
            await to.raw(kafka.names.inference, b"record", partition=index % 2)
    return kafka


async def test_the_position_of_score_is_its_committed_offsets_and_the_number_of_unread_records(broker):
    kafka = await with_records(broker)
    topic, group = kafka.names.inference, f"{kafka.names.prefix}score"
    consumer = AIOKafkaConsumer(**kafka.client_options(), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        await consumer.commit({TopicPartition(topic, 0): 3})
        assert await score_position(kafka) == Position(read=3, unread=2)
        await consumer.commit({TopicPartition(topic, 1): 1})
    finally:
        await consumer.stop()
    assert await score_position(kafka) == Position(read=4, unread=1)
    assert await score_position(await with_records(broker)) == Position(read=0, unread=5)
