"""Names and behaviour of aiokafka that Weir relies on and that are not public."""

import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.protocol import fetch
from support.private_names import check, check_pin, names

from stream.kafka.clients import discard_producer, paced

CLIENTS, ADMIN, CAPTURE = "stream/kafka/clients.py", "stream/kafka/admin.py", "serving/capture/producer.py"
NAMES = [
    *names(CLIENTS, "aiokafka.client:AIOKafkaClient", send="self, node_id, request, *, group", close="self"),
    *names("stream/runtime/transport.py", "aiokafka.client:AIOKafkaClient", add_topic="self, topic"),
    *names(CAPTURE, "aiokafka.client:AIOKafkaClient", fetch_all_metadata="self"),
    *names(CAPTURE, "aiokafka.cluster:ClusterMetadata", partitions_for_topic="self, topic"),
    *names(CLIENTS, "aiokafka.producer.sender:Sender", sender_task=""),
    *names(CLIENTS, "aiokafka.producer.message_accumulator:MessageAccumulator", fail_all="self, exception"),
    *names(ADMIN, "aiokafka.admin:AIOKafkaAdminClient", _send_request="self, request, node_id"),
    *names(ADMIN, "aiokafka.admin:AIOKafkaAdminClient", find_coordinator="self, group_id, coordinator_type"),
    *names(ADMIN, "aiokafka.protocol.group:LeaveGroupRequest", __init__="self, group, member_id"),
]


@pytest.mark.parametrize("private", NAMES, ids=lambda private: private.name)
def test_a_private_name_is_as_weir_expects(private):
    check(private)


async def test_a_consumer_sends_its_fetches_through_its_client():
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    send = consumer._client.send
    assert paced(consumer)._client.send != send
    assert "self._client.send(" in inspect.getsource(Fetcher), f"look at paced in {CLIENTS}"
    assert "FetchRequest(" in inspect.getsource(Fetcher), f"look at paced in {CLIENTS}"
    await consumer.stop()


def test_records_are_the_last_field_of_a_partition_in_every_version_of_a_fetch_response():
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


def test_a_group_coordinator_has_the_member_id_of_its_consumer():
    assert "self.member_id = " in inspect.getsource(GroupCoordinator), "look at stream/runtime/transport.py"
    assert "self._coordinator = GroupCoordinator(" in inspect.getsource(AIOKafkaConsumer)


def test_the_version_is_pinned():
    check_pin("aiokafka")
