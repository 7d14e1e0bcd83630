"""Attributes that instances of Faust's classes have and that Weir uses."""

from aiokafka import AIOKafkaConsumer

from stream.runtime.app import create_base_app
from stream.settings import KafkaSettings


def lacking(owner, *names):
    return [name for name in names if not hasattr(owner, name)]


async def test_instances_have_the_attributes_that_weir_uses(tmp_path):
    app = create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=tmp_path)
    assert not lacking(app, "_consumer", "consumer_generation_id", "rebalancing")
    consumer = app.consumer
    consumer._thread.thread_loop.close()
    assert not lacking(
        consumer, "_buffered_partitions", "_committed_offset", "_paused_partitions", "_thread", "_unacked_messages"
    )
    assert consumer.committed("t") is None
    assert consumer.member_id == ""
    assert not lacking(consumer._thread, "_consumer")
    consumer._thread._consumer = unstarted = AIOKafkaConsumer()
    assert consumer.member_id == "", "aiokafka has no coordinator before it connects to a broker"
    await unstarted.stop()
    assert not lacking(app.raw_table("t", 2).data, "_key_partition")
