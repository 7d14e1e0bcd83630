"""Start the components of a plan, each as soon as what it needs is ready, and wait for each one's health."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from stream.errors import BrokerError
from weir.errors import StackError
from weir.local.build_plan import TOPICS
from weir.local.health.health_probe import Health, probe
from weir.local.plan import Component, Plan
from weir.local.step_reporter import Reporter
from weir.local.supervisord.config_file import log_path
from weir.local.supervisord.rpc_client import ProcessInfo, Supervisord

__all__ = ["Starter", "log_tail"]

_POLL_SECONDS = 0.25
_STARTS_BEFORE_FAILURE = 3
_STARTS_AT_ONCE = 3
_STEADY_SECONDS = 1.0
_TAIL_LINES = 12


class Starter:
    """Brings a plan up.

    Parameters
    ----------
    plan
        The stack.
    supervisord
        Who starts processes.
    reporter
        Told of every step.
    make_topics
        Creates the topics and says what it did; BrokerError means that no broker answers.
    """

    def __init__(
        self, plan: Plan, supervisord: Supervisord, reporter: Reporter, make_topics: Callable[[], str]
    ) -> None:
        self._plan = plan
        self._home = Path(plan.home)
        self._supervisord = supervisord
        self._reporter = reporter
        self._make_topics = make_topics
        self._begun: dict[str, float] = {}
        self._ready: set[str] = set() if self._needs_topics() else {TOPICS}
        self._well_since: dict[str, float] = {}
        self._pids: dict[str, set[int]] = {}
        self.without_kafka = False

    def run(self) -> None:
        """Start everything and return when everything is ready.

        Raises
        ------
        StackError
            A component died three times in its start, or was not ready in time; the message ends with its log.
        """
        while len(self._ready) < len(self._plan.components) + 1:  # and the topics
            infos = self._supervisord.processes()
            self._topics()
            for component in self._plan.components:
                if component.name in self._begun:
                    self._check(component, infos[component.name])
                elif self._ready.issuperset(component.after) and self._may_start():
                    self._start(component)
            time.sleep(_POLL_SECONDS)

    @property
    def steps(self) -> int:
        """How many steps :meth:`run` tells of."""
        return len(self._plan.components) + self._needs_topics()

    def _needs_topics(self) -> bool:
        return any(TOPICS in one.after for one in self._plan.components)

    def _may_start(self) -> bool:
        """Bound the starts at a time: each imports for seconds, and Ray gives up on a machine that is too busy."""
        return len(self._begun.keys() - self._ready) < max(_STARTS_AT_ONCE, os.cpu_count() or 1)

    def _start(self, component: Component) -> None:
        self._begun[component.name] = time.monotonic()
        self._reporter.begin(component.name, f"waiting for {component.health_url}")
        self._supervisord.start(component.name)

    def _topics(self) -> None:
        if TOPICS in self._ready or (self._plan.broker != "given" and "broker" not in self._ready):
            return
        self._reporter.begin(TOPICS, f"creating what is missing at {self._plan.bootstrap}")
        try:
            said = self._make_topics()
        except BrokerError as error:
            if self._plan.broker != "given":
                raise
            self.without_kafka = True
            said = f"{error}. Requests are answered and spooled; the topics are made when it answers"
        self._ready.add(TOPICS)
        self._reporter.ready(TOPICS, said)

    def _check(self, component: Component, info: ProcessInfo) -> None:
        if component.name in self._ready:
            return
        self._refuse_crash_loop(component, info)
        health = (
            probe(component.health_url, 1.0) if info.pid else Health(ok=False, hung=True, detail="it is not running")
        )
        waited = time.monotonic() - self._begun[component.name]
        if self._steady(component, well=health.ok or (self.without_kafka and not health.hung)):
            self._ready.add(component.name)
            self._reporter.ready(component.name, component.address)
        elif waited > component.ready_seconds:
            raise StackError(
                f"{component.name} was not ready within {component.ready_seconds:.0f} s ({health.detail}); "
                + log_tail(self._home, component.name)
            )
        else:
            self._reporter.waiting(component.name, health.detail or "it answers")

    def _steady(self, component: Component, *, well: bool) -> bool:
        """Tell whether `component` has been well for a second: one that opens its port first may say so too early."""
        if not well:
            self._well_since.pop(component.name, None)
            return False
        return time.monotonic() - self._well_since.setdefault(component.name, time.monotonic()) >= _STEADY_SECONDS

    def _refuse_crash_loop(self, component: Component, info: ProcessInfo) -> None:
        pids = self._pids.setdefault(component.name, set())
        if info.pid:
            pids.add(info.pid)
        if info.statename == "FATAL" or len(pids) >= _STARTS_BEFORE_FAILURE:
            raise StackError(f"{component.name} does not start; {log_tail(self._home, component.name)}")


def log_tail(home: Path, name: str) -> str:
    """Return where a component's log is, and its last lines."""
    path = log_path(home, name)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n  ".join([f"its log, {path}, ends:", *lines]) if lines else f"its log {path} is empty"
