"""Topics on a scripted broker, and on a broker that fails after its bootstrap, for example because its advertised listener is wrong."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka.errors import NodeNotReadyError, RequestTimedOutError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

import stream.kafka.clients
from stream.errors import BrokerError
from stream.kafka import admin
from stream.kafka.admin import TopicInfo, correct_retention, create_topics, group_offsets, list_topics
from stream.wire.topics import Topic

OPTIONS = {"bootstrap_servers": "k:9092"}


class Broker:
    """A broker of three nodes with the topics a.x and b.x; it answers changes with the error `code`."""

    def __init__(self, code):
        self.code, self.created, self.altered = code, [], []
        self.configs = {"a.x": {"retention.ms": "7", "cleanup.policy": "compact"}, "b.x": {"retention.bytes": "9"}}

    async def describe_topics(self):
        return [{"topic": "b.x", "partitions": [{}, {}]}, {"topic": "a.x", "partitions": [{}]}]

    async def describe_cluster(self):
        return {"brokers": [{}, {}, {}]}

    async def create_topics(self, new):
        self.created += new
        return SimpleNamespace(topic_errors=[(topic.name, self.code, None) for topic in new])

    async def describe_configs(self, resources):
        found = [(0, "", 2, one.name, list(self.configs[one.name].items())) for one in resources]
        return [SimpleNamespace(resources=found)]

    async def alter_configs(self, resources):
        self.altered += [(one.name, one.configs) for one in resources]
        return [SimpleNamespace(resources=[(self.code, "denied", 2, one.name) for one in resources])]

    async def list_consumer_group_offsets(self, group):
        if group == "new":
            raise UnknownTopicOrPartitionError
        return {TopicPartition("a.x", number): SimpleNamespace(offset=offset) for number, offset in enumerate((4, -1))}

    async def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, 3)

    async def end_offsets(self, partitions):
        return {partition: 10 + partition.partition for partition in partitions}


@pytest.fixture
def broker(request, monkeypatch):
    answers = Broker(getattr(request, "param", 0))

    @asynccontextmanager
    async def client(_options, **_more):
        yield answers

    for module in (admin, stream.kafka.topic_checks):
        monkeypatch.setattr(module, "admin_for", client)
    monkeypatch.setattr(admin, "consumer_for", client)
    return answers


@pytest.mark.parametrize("broker", [0, 36], indirect=True)
async def test_only_missing_topics_are_created_with_three_copies_and_another_process_can_be_first(broker):
    topics = [Topic(name="b.x", partitions=2), Topic(name="c.x", partitions=4, retention_ms=5)]
    assert await create_topics(OPTIONS, topics) == ["c.x"]
    created = [(one.name, one.num_partitions, one.replication_factor, one.topic_configs) for one in broker.created]
    assert created == [("c.x", 4, 3, topics[1].config())]


@pytest.mark.parametrize("broker", [29], indirect=True)
async def test_a_change_that_the_broker_refuses_is_an_error(broker):
    with pytest.raises(BrokerError, match=r"refused to create c\.x: TopicAuthorizationFailedError \(error 29\)"):
        await create_topics(OPTIONS, [Topic(name="c.x", partitions=1)])
    with pytest.raises(BrokerError, match=r"refused to change b\.x: denied \(error 29\)"):
        await correct_retention(OPTIONS, [Topic(name="b.x", partitions=2)], alter=True)


@pytest.mark.parametrize("alter", [True, False])
async def test_a_retention_in_bytes_is_corrected_and_that_of_a_compacted_topic_is_not(broker, alter):
    compacted = Topic(name="a.x", partitions=1, cleanup_policy="compact")
    limited = Topic(name="b.x", partitions=2, retention_ms=5, retention_bytes=8)
    ((found, required),) = await correct_retention(OPTIONS, [compacted, limited], alter=alter)
    assert (found.retention_ms, found.retention_bytes, required) == (5, 9, limited)
    assert broker.altered == ([("b.x", limited.config())] if alter else [])


@pytest.mark.usefixtures("broker")
async def test_topics_are_listed_by_name_with_their_numbers_of_messages():
    first = TopicInfo(topic="a.x", partitions=1, retention_ms=7, cleanup_policy="compact", messages=7)
    second = TopicInfo(topic="b.x", partitions=2, retention_ms=-1, cleanup_policy="delete", messages=7 + 8)
    assert await list_topics(OPTIONS, "") == [first, second]
    assert await list_topics(OPTIONS, "b") == [second]
    assert await list_topics(OPTIONS, "c") == []


@pytest.mark.usefixtures("broker")
async def test_partitions_and_groups_without_a_commit_have_no_offset():
    found = await group_offsets(OPTIONS, ["old", "new"])
    assert found == {"old": {TopicPartition("a.x", 0): 4}, "new": {}}


@pytest.fixture(params=[NodeNotReadyError, RequestTimedOutError, TimeoutError, ConnectionResetError])
def broker_that_fails_later(request, monkeypatch):
    class Admin:
        def __init__(self, **_):
            pass

        async def start(self):
            pass

        async def close(self):
            pass

        async def describe_topics(self):
            raise request.param

    monkeypatch.setattr(stream.kafka.clients, "AIOKafkaAdminClient", Admin)


@pytest.mark.usefixtures("broker_that_fails_later")
async def test_a_broker_that_fails_after_its_bootstrap_is_a_broker_error():
    with pytest.raises(BrokerError, match=r"no Kafka answers at k:9092; `weir status` shows"):
        await create_topics(OPTIONS, [Topic(name="a", partitions=1)])
    with pytest.raises(BrokerError, match=r"no Kafka answers at k:9092; `weir status` shows"):
        await list_topics(OPTIONS, "a")
