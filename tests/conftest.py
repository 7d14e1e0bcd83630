"""Fixtures that every suite shares: real brokers, started once a session, on loopback and ports of their own."""

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.kafka_classes import share_kafka_classes
from support.running_broker import RunningBroker, start_broker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from weir.local.broker.kafka_jars import apache_available

if find_spec("hypothesis"):  # the environment of tests/vllm does not have it
    from hypothesis import HealthCheck, settings

    # No test asserts a time, because the machine can be busy.
    settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("weir")

_NO_MAVEN = "Apache Kafka needs Maven (Debian package `maven`), which is not on PATH"
_NO_CHROMIUM = "the console's page needs Chromium (Debian package `chromium`), which is not on PATH"

_WHOLE = ("tests/e2e/", "tests/chaos/")
#: They wait for about three quarters of their time.
_WAITS = (
    "tests/integration/archive/",
    "tests/integration/client/",
    "tests/integration/ledger/",
    "tests/integration/local/test_supervision.py",
    "tests/integration/runtime/",
)
_ALONE = ("tests/unit/", "tests/contract/", "tests/property/", *_WAITS)
_FILLER = "gw2"
#: It takes seven minutes. It starts first, so that no process is still busy with it when the others have nothing left to do.
_LONGEST = "tests/integration/training/test_ray_cluster.py"


def _required(variable: str) -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"} or os.environ.get(variable) == "1"


class _NotRun:
    """Collects what the absence of a program left out, to be said once at the end of the run."""

    def __init__(self, where: str, reason: str) -> None:
        self._where, self._reason = where, reason
        self.tests: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple) and self._reason in report.longrepr[2]:
            self.tests.append(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.tests:
            terminalreporter.section(f"not run {self._where}", yellow=True)
            terminalreporter.line(f"{self._reason}; {len(self.tests)} tests were skipped:")
            for name in self.tests:
                terminalreporter.line(f"  {name}")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER") == _FILLER:
        os.nice(5)
    config.pluginmanager.register(_NotRun("on Apache Kafka", _NO_MAVEN), "weir-not-run-kafka")
    config.pluginmanager.register(_NotRun("in Chromium", _NO_CHROMIUM), "weir-not-run-chromium")


class _ByFile(LoadScopeScheduling):
    """With several processes (`-n`), the tests of a file share one, and so do all that run a whole Weir: one at a time.

    The process `_FILLER` has a low priority. It runs only tests that start nothing or mostly wait, from the end of the queue, while the others wait.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return "whole" if file.startswith(_WHOLE) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node.gateway.id == _FILLER:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        if node.gateway.id == _FILLER and not (self.workqueue and next(reversed(self.workqueue)).startswith(_ALONE)):
            node.shutdown()
        else:
            super()._reschedule(node)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Almost all objects of the collection live until the end: without the garbage collector, it needs a third less processor time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: (not item.nodeid.startswith(_LONGEST), item.nodeid.startswith(_WAITS)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return _ByFile(config, log)


def _require_apache() -> None:
    if apache_available():
        share_kafka_classes()
        return
    if _required("WEIR_REQUIRE_APACHE"):
        pytest.fail(f"{_NO_MAVEN}, and CI or WEIR_REQUIRE_APACHE asks for it; apt-get install maven")
    pytest.skip(_NO_MAVEN)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The machine's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None and _required("WEIR_REQUIRE_CHROMIUM"):
        pytest.fail(f"{_NO_CHROMIUM}, and CI or WEIR_REQUIRE_CHROMIUM asks for it; apt-get install chromium")
    if path is None:
        pytest.skip(f"{_NO_CHROMIUM}: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def apache() -> None:
    """Apache Kafka's jars can be had."""
    _require_apache()


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
