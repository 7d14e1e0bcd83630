"""Fixtures that every suite shares: real brokers, started once a session, on loopback and ports of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from weir.broker.jars import apache_possible
from weir.broker.local import RunningBroker, start_broker

_NO_MAVEN = "Apache Kafka needs Maven (Debian package `maven`), which is not on PATH"


def _apache_required() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"} or os.environ.get("WEIR_REQUIRE_APACHE") == "1"


class _NotRun:
    """Collects what Maven's absence left out, to be said once at the end of the run."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple) and _NO_MAVEN in report.longrepr[2]:
            self.tests.append(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.tests:
            terminalreporter.section("not run on Apache Kafka", yellow=True)
            terminalreporter.line(f"{_NO_MAVEN}; {len(self.tests)} tests were skipped:")
            for name in self.tests:
                terminalreporter.line(f"  {name}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_NotRun(), "weir-not-run")


def _require_apache() -> None:
    if apache_possible():
        return
    if _apache_required():
        pytest.fail(f"{_NO_MAVEN}, and CI or WEIR_REQUIRE_APACHE asks for it; apt-get install maven")
    pytest.skip(_NO_MAVEN)


@pytest.fixture(scope="session")
def apache_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """Apache Kafka, one node; leave it running, and use topics of your own."""
    _require_apache()
    yield from _running("apache", tmp_path_factory.mktemp("apache"))


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """The embedded broker; leave it running, and use topics of your own."""
    yield from _running("embedded", tmp_path_factory.mktemp("embedded"))


def _running(kind, directory: Path) -> Iterator[RunningBroker]:
    with start_broker(kind, directory) as broker:
        yield broker


@pytest.fixture(params=["apache", "embedded"])
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    """Each kind of broker in turn."""
    return request.getfixturevalue(f"{request.param}_broker")
