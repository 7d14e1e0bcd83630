import asyncio

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from stream.kafka.publisher import Publisher


class Producer:
    """A producer that fails with each of `errors` in turn, and then accepts records."""

    def __init__(self, errors):
        self.errors = list(errors)
        self.sent = []

    async def send(self, topic, key, value, *rest):
        partition, _, headers = rest
        future = asyncio.get_running_loop().create_future()
        if self.errors:
            future.set_exception(self.errors.pop(0))
        else:
            self.sent.append((topic, key, value, partition, headers))
            future.set_result("done")
        return future


async def test_publishing_is_retried_while_the_broker_is_unreachable(monkeypatch):
    monkeypatch.setattr("stream.kafka.publisher._PAUSE_SECONDS", 0.01)
    producer = Producer([KafkaTimeoutError(), KafkaTimeoutError()])
    assert await Publisher(lambda: producer).produce("t", key=b"k", value=b"v", headers=(), partition=1) == "done"
    assert producer.sent == [("t", b"k", b"v", 1, [])]


async def test_a_permanent_rejection_is_raised():
    producer = Producer([TopicAuthorizationFailedError("t")])
    with pytest.raises(TopicAuthorizationFailedError):
        await Publisher(lambda: producer).produce("t", key=b"k", value=b"v", headers=(), partition=1)
