"""The metrics port that others can reach: one process has it, and the next one when that has left."""

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


def test_the_port_passes_to_the_next_when_the_first_leaves(registries, monkeypatch, caplog):
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


def test_no_port_is_no_port(registries):
    MetricsPort(registries[0], "127.0.0.1", 0).stop()
