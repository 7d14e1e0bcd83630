"""Errors about Kafka: a broker that does not answer, a broker that rejects a request, and a CA bundle that cannot be used."""

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from stream.errors import BrokerError, LogExpired, kafka_problem, no_kafka
from stream.settings import KafkaSettings


@pytest.mark.parametrize(
    "error", [KafkaConnectionError(), KafkaTimeoutError(), TimeoutError(), ConnectionRefusedError()]
)
def test_a_broker_that_does_not_answer_is_named(error):
    message = str(no_kafka("kafka:9092", error))
    assert message.startswith(
        "no Kafka answers at kafka:9092; `weir status` shows whether the stack and its broker run"
    )
    assert "If not, start the stack with `weir up`, or start your own Kafka" in message
    assert "security_protocol must be that of this port (the default is PLAINTEXT)" in message
    assert "check ssl_cafile, sasl_username and sasl_password" in message


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), MessageSizeTooLargeError()])
def test_a_broker_that_rejects_a_request_is_not_called_unreachable(error):
    message = str(no_kafka("kafka:9092", error))
    assert message.startswith(f"Kafka at kafka:9092 rejected a request ({type(error).__name__})")
    assert kafka_problem("kafka:9092", error) == message


def test_a_component_reports_that_kafka_does_not_answer_or_what_was_read():
    assert kafka_problem("kafka:9092", TimeoutError()) == "Kafka at kafka:9092 does not answer (TimeoutError)"
    assert kafka_problem("kafka:9092", LogExpired("the log begins at offset 9")) == "the log begins at offset 9"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), ("", "no certificate"), ("x", "no certificate")]
)
def test_a_ca_bundle_that_cannot_be_used_is_named(content, reason, tmp_path):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BrokerError, match=rf"kafka\.ssl_cafile '.*ca\.pem' cannot be used \(.*{reason}"):
        KafkaSettings(security_protocol="SSL", ssl_cafile=str(path)).client_options()
