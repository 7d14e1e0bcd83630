"""One whole stack for the end-to-end tests."""

import os
from collections.abc import Iterator

import pytest
from support.stack import Stack, running

from weir.broker.jars import apache_possible


@pytest.fixture(scope="session")
def broker_kind() -> str:
    """Apache Kafka where it can be had (in CI it must), else the embedded broker."""
    if apache_possible():
        return "apache"
    required = os.environ.get("CI", "").lower() in {"1", "true"} or os.environ.get("WEIR_REQUIRE_APACHE") == "1"
    assert not required, "Apache Kafka needs Maven (Debian package `maven`), and CI or WEIR_REQUIRE_APACHE asks for it"
    return "embedded"


@pytest.fixture(scope="session")
def stack(broker_kind: str) -> Iterator[Stack]:
    with running(WEIR_KAFKA__BROKER=broker_kind) as started:
        yield started
