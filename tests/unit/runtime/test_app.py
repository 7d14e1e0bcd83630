"""Settings and health of an app, without a broker."""

import time

from prometheus_client import CollectorRegistry

from stream.runtime.app import create_base_app
from stream.settings import KafkaSettings
from stream.telemetry import STALLED, MetricsServer
from weir.local.health.health_probe import probe


def app(tmp_path, **kafka):
    return create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1,127.0.0.1:2", **kafka), data_dir=tmp_path)


def test_the_app_has_no_web_server_no_leader_topic_and_short_time_outs(tmp_path):
    conf = app(tmp_path).conf
    assert not conf.web_enabled
    assert conf.topic_disable_leader
    assert not conf.stream_wait_empty
    assert (conf.broker_session_timeout, conf.broker_rebalance_timeout) == (10, 10)
    assert str(conf.store) == "memory:"
    assert [(url.host, url.port) for url in conf.broker] == [("127.0.0.1", 1), ("127.0.0.1", 2)]


def test_credentials_are_those_of_the_settings(tmp_path):
    secured = app(
        tmp_path, security_protocol="SASL_PLAINTEXT", sasl_username="weir", sasl_password="secret"
    ).conf.broker_credentials
    assert (secured.username, secured.password, secured.mechanism.value) == ("weir", "secret", "SCRAM-SHA-512")
    assert secured.protocol.value == "SASL_PLAINTEXT"
    tls = app(tmp_path, security_protocol="SASL_SSL", sasl_username="weir", sasl_password="secret")
    assert tls.conf.broker_credentials.protocol.value == "SASL_SSL"
    assert app(tmp_path, security_protocol="SSL").conf.broker_credentials.protocol.value == "SSL"
    assert app(tmp_path).conf.broker_credentials is None


def test_an_app_that_waits_for_its_topics_only_waits(tmp_path):
    """The watcher restarts a process that reports another reason, and no restart brings Kafka back."""
    one = app(tmp_path)
    one.health_checks["models"] = lambda: "loading"
    server = MetricsServer(CollectorRegistry(), 0, one.health).start()
    health = probe(f"http://127.0.0.1:{server.port}/healthz")
    server.stop()
    assert (health.ok, health.hung, health.waiting) == (False, False, True)


def test_health_has_the_reason_of_each_fault_until_the_fault_ends(tmp_path):
    one = app(tmp_path)
    one.health_checks["models"] = lambda: "loading"
    one.beat()
    assert set(one.health()) == {"consumer", "models"}
    one.health_checks["models"] = lambda: ""
    assert set(one.health()) == {"consumer"}


def test_a_stalled_event_loop_is_reported_as_in_every_other_process(tmp_path, monkeypatch):
    one = app(tmp_path)
    one.beat()
    later = time.monotonic() + 20
    monkeypatch.setattr("stream.runtime.app.time.monotonic", lambda: later)
    assert set(one.health()) == {STALLED}
