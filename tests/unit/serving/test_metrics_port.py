"""The external metrics port: one process listens on it, and the next process listens after the first has stopped."""

import logging

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge
from support.stack import free_port, until

from serving.metrics_port import MetricsPort


def shown(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5, trust_env=False).text
    except httpx.HTTPError:
        return ""


def eventually(port, text):
    until(f"{text} at {port}", lambda: text in shown(port), 30)


@pytest.fixture
def registries():
    made = []
    for value in (1, 2):
        registry = CollectorRegistry()
        Gauge("which", "Of two", registry=registry).set(value)
        made.append(registry)
    return made


def test_the_next_process_listens_on_the_port_after_the_first_has_stopped(registries, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "serving.metrics_port")
    monkeypatch.setattr("serving.metrics_port._RETRY_SECONDS", 0.05)
    port = free_port()
    first = MetricsPort(registries[0], "127.0.0.1", port)
    eventually(port, "which 1.0")
    second = MetricsPort(registries[1], "127.0.0.1", port)
    try:
        for _ in range(20):
            assert "which 1.0" in shown(port)
            second._stopped.wait(0.05)
        first.stop()
        eventually(port, "which 2.0")
    finally:
        first.stop()
        second.stop()
    assert shown(port) == ""
    assert [record.message.partition(" (")[0] for record in caplog.records] == [f"metrics wait for 127.0.0.1:{port}"]


def test_with_port_0_no_process_listens(registries):
    MetricsPort(registries[0], "127.0.0.1", 0).stop()
