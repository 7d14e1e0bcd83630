"""Settings, health, topics, windows and the watchdog's arithmetic, without a broker."""

import asyncio
import doctest

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

import stream.kafka.ack_tracker
import stream.kafka.stall
import stream.stages.score.features
from stream.errors import TopicMismatch, TopicMissing
from stream.kafka.publisher import Publisher, Window
from stream.kafka.stall import StallDetector
from stream.kafka.topic_checks import check_topics
from stream.runtime.app import create_base_app
from stream.settings import KafkaSettings


@pytest.mark.parametrize("module", [stream.kafka.ack_tracker, stream.kafka.stall, stream.stages.score.features])
def test_examples_run(module):
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


def app(tmp_path, **kafka):
    return create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1,127.0.0.1:2", **kafka), data_dir=tmp_path)


def test_no_web_server_no_leader_topic_and_short_time_outs(tmp_path):
    conf = app(tmp_path).conf
    assert not conf.web_enabled
    assert conf.topic_disable_leader
    assert not conf.stream_wait_empty
    assert (conf.broker_session_timeout, conf.broker_rebalance_timeout) == (10, 10)
    assert str(conf.store) == "memory:"
    assert [(url.host, url.port) for url in conf.broker] == [("127.0.0.1", 1), ("127.0.0.1", 2)]


def test_credentials_come_from_the_settings(tmp_path):
    secured = app(
        tmp_path, security_protocol="SASL_PLAINTEXT", sasl_username="weir", sasl_password="secret"
    ).conf.broker_credentials
    assert (secured.username, secured.password, secured.mechanism.value) == ("weir", "secret", "SCRAM-SHA-512")
    assert secured.protocol.value == "SASL_PLAINTEXT"
    tls = app(tmp_path, security_protocol="SASL_SSL", sasl_username="weir", sasl_password="secret")
    assert tls.conf.broker_credentials.protocol.value == "SASL_SSL"
    assert app(tmp_path, security_protocol="SSL").conf.broker_credentials.protocol.value == "SSL"
    assert app(tmp_path).conf.broker_credentials is None


def test_what_is_wrong_is_said_until_it_is_right(tmp_path):
    one = app(tmp_path)
    one.health_checks["models"] = lambda: "loading"
    assert set(one.health()) == {"start", "models"}
    one.beat()
    one.health_checks["models"] = lambda: ""
    assert set(one.health()) == {"consumer"}


def test_a_topic_of_another_size_is_refused_with_the_remedy():
    check_topics({"a": 8}, {"a": 8, "b": 4})
    with pytest.raises(TopicMismatch, match=r"a has 3 partitions, the settings require 8.*TOPIC_PREFIX"):
        check_topics({"a": 8, "b": 4}, {"a": 3})
    with pytest.raises(TopicMissing, match=r"no topic b; run `weir topics create`"):
        check_topics({"a": 8, "b": 4}, {"a": 8})


def test_a_broker_that_is_away_stops_the_clock():
    stall = StallDetector(10)
    assert not stall.observe(now=0, progress=1, work=True)
    assert not stall.observe(now=9, progress=1, work=True)
    assert not stall.observe(now=11, progress=1, work=False)
    assert not stall.observe(now=20, progress=1, work=True)
    assert stall.observe(now=21, progress=1, work=True)


async def test_a_window_lets_so_many_in_and_no_more():
    running, most, gate, full, failures = 0, 0, asyncio.Event(), asyncio.Event(), []

    async def finish(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            full.set()
        await gate.wait()
        running -= 1
        if number == 3:
            raise ValueError(number)

    window = Window(4, failures.append)
    filler = asyncio.ensure_future(_fill(window, finish, 10))
    await full.wait()
    assert len(window) == 4
    gate.set()
    await filler
    await window.drain()
    assert most == 4
    assert [str(error) for error in failures] == ["3"]


async def _fill(window, finish, count):
    for number in range(count):
        await window.run(finish(number))


class Producer:
    """Fails with each of `errors` in turn, then accepts."""

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


async def test_publishing_tries_again_while_the_broker_is_away(monkeypatch):
    monkeypatch.setattr("stream.kafka.publisher._PAUSE_SECONDS", 0.01)
    producer = Producer([KafkaTimeoutError(), KafkaTimeoutError()])
    assert await Publisher(lambda: producer).produce("t", key=b"k", value=b"v", headers=(), partition=1) == "done"
    assert producer.sent == [("t", b"k", b"v", 1, [])]


async def test_publishing_gives_up_where_trying_again_cannot_help():
    producer = Producer([TopicAuthorizationFailedError("t")])
    with pytest.raises(TopicAuthorizationFailedError):
        await Publisher(lambda: producer).produce("t", key=b"k", value=b"v", headers=(), partition=1)
