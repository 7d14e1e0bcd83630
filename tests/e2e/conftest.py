"""One stack for all end-to-end tests: the defaults, the detector `repetition` and the delivery of versions."""

import json
import os
from collections.abc import Iterator

import pytest
from support.alertmanagers import Alertmanager
from support.kafka_classes import share_kafka_classes
from support.stack import Stack, free_port, running

from stream.settings import DetectorSettings
from weir.local.broker.kafka_jars import apache_available


@pytest.fixture(scope="package")
def broker_kind() -> str:
    """Return `apache` if Maven can download Apache Kafka (required in CI), else `embedded`."""
    if apache_available():
        share_kafka_classes()
        return "apache"
    required = os.environ.get("CI", "").lower() in {"1", "true"} or os.environ.get("WEIR_REQUIRE_APACHE") == "1"
    assert not required, "Apache Kafka needs Maven (Debian package `maven`), which CI or WEIR_REQUIRE_APACHE requires"
    return "embedded"


@pytest.fixture(scope="package")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """Start a real Alertmanager, without a receiver, that the bridge of the stack notifies."""
    manager = Alertmanager(tmp_path_factory.mktemp("alertmanager"), free_port(), "http://127.0.0.1:1/").start()
    yield manager
    manager.kill()


@pytest.fixture(scope="package")
def stack(broker_kind: str, manager: Alertmanager) -> Iterator[Stack]:
    settings = {
        "WEIR_KAFKA__BROKER": broker_kind,
        "WEIR_BRIDGE__ALERTMANAGERS": json.dumps([manager.url]),
        "WEIR_DETECTORS__OUTPUT": json.dumps([*DetectorSettings().output, "repetition"]),
        "WEIR_DELIVERY__ENABLED": "true",
    }
    with running(**settings) as started:
        yield started
