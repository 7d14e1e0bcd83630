"""The error about Kafka distinguishes a broker that does not answer from one that rejects a request."""

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from stream.errors import no_kafka


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), KafkaTimeoutError(), TimeoutError(), ConnectionRefusedError()]
)
def test_a_broker_that_does_not_answer(error):
    assert str(no_kafka("kafka:9092", error)).startswith("no Kafka answers at kafka:9092; start the stack")


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), MessageSizeTooLargeError()])
def test_a_broker_that_rejects_a_request_is_not_called_away(error):
    message = str(no_kafka("kafka:9092", error))
    assert message.startswith(f"Kafka at kafka:9092 rejected a request ({type(error).__name__})")
