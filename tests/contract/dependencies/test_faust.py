"""Attributes that instances of Faust's classes have and that Weir uses."""

from aiokafka import AIOKafkaConsumer

from stream.runtime.app import create_base_app
from stream.runtime.overrides import require_attributes
from stream.settings import KafkaSettings


async def test_instances_have_the_attributes_that_weir_uses(tmp_path):
    app = create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=tmp_path)
    require_attributes(app, "_consumer", "consumer_generation_id", "rebalancing")
    consumer = app.consumer
    consumer._thread.thread_loop.close()
    require_attributes(
        consumer, "_buffered_partitions", "_committed_offset", "_paused_partitions", "_thread", "_unacked_messages"
    )
    assert consumer.committed("t") is None
    assert consumer.member_id == ""
    require_attributes(consumer._thread, "_consumer")
    consumer._thread._consumer = unstarted = AIOKafkaConsumer()
    assert consumer.member_id == "", "aiokafka has no coordinator before it connects to a broker"
    await unstarted.stop()
    require_attributes(app.raw_table("t", 2).data, "_key_partition")
