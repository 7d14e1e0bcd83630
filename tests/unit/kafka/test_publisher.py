import asyncio

import pytest
from aiokafka.errors import (
    InvalidTopicError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from support.signal_log import watch_tick

from stream.kafka.publisher import Publisher
from stream.wire import encode


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


async def test_publishing_is_retried_while_the_broker_is_unreachable(monkeypatch, caplog):
    monkeypatch.setattr("stream.kafka.publisher._PAUSE_SECONDS", 0.01)
    producer = Producer([KafkaTimeoutError(), KafkaTimeoutError()])
    assert await Publisher(lambda: producer).produce("t", key=b"k", value=b"v", headers=(), partition=1) == "done"
    assert producer.sent == [("t", b"k", b"v", 1, [])]
    assert [record.message for record in caplog.records] == [
        "no acknowledgement from t-1 (KafkaTimeoutError); retrying"
    ]


async def test_an_event_has_the_trace_context_of_its_hop_as_a_plain_header():
    producer, record = Producer([]), encode(watch_tick(1.0))
    await Publisher(lambda: producer).publish("t", watch_tick(1.0), partition=1, traceparent="00-a-b-01")
    headers = [*record.headers, ("traceparent", b"00-a-b-01")]
    assert producer.sent == [("t", record.key, record.value, 1, headers)]


@pytest.mark.parametrize(
    "error", [TopicAuthorizationFailedError, MessageSizeTooLargeError, RecordListTooLargeError, InvalidTopicError]
)
async def test_a_permanent_rejection_is_raised(error):
    producer = Producer([error("t")])
    with pytest.raises(error):
        await Publisher(lambda: producer).produce("t", key=b"k", value=b"v", headers=(), partition=1)
