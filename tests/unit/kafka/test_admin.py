"""A broker whose bootstrap address answers, and which then does not, for example because its advertised listener is wrong."""

import pytest
from aiokafka.errors import NodeNotReadyError, RequestTimedOutError

import stream.kafka.clients
from stream.errors import BrokerError
from stream.kafka.admin import create_topics, list_topics
from stream.wire.topics import Topic

OPTIONS = {"bootstrap_servers": "k:9092"}


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
