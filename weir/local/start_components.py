"""Start the components of a plan, each after the components that it needs, and wait until all are healthy."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from stream.errors import BrokerError
from weir.errors import StackError
from weir.local.build_plan import TOPICS
from weir.local.health.health_probe import Health, probe
from weir.local.log_tail import log_excerpt
from weir.local.plan import Component, Plan
from weir.local.step_reporter import StepReporter
from weir.local.supervisord.rpc_client import ProcessInfo, Supervisord

_POLL_SECONDS = 0.25
_STARTS_BEFORE_FAILURE = 3
_STARTS_AT_ONCE = 3
_STABLE_SECONDS = 1.0
_PROBE_SECONDS = 1.0
#: The receivers of alerts are not parts of the stack: without them, it serves and records.
_RECEIVERS = ("waiting for alertmanager", "waiting for webhook")
_RECEIVER_SECONDS = 10.0


class ComponentStarter:
    """Starts the components of a plan; `create_topics` returns a line to show, or raises BrokerError if Kafka does not answer."""

    def __init__(
        self, plan: Plan, supervisord: Supervisord, reporter: StepReporter, create_topics: Callable[[], str]
    ) -> None:
        self._plan = plan
        self._home = Path(plan.home)
        self._supervisord = supervisord
        self._reporter = reporter
        self._create_topics = create_topics
        self._started_at: dict[str, float] = {}
        self._ready: set[str] = set() if self._needs_topics() else {TOPICS}
        self._healthy_since: dict[str, float] = {}
        self._pids: dict[str, set[int]] = {}
        self.without_kafka = False

    def run(self) -> None:
        """Start the components, create the topics, and return when all are ready.

        A component that only waits for receivers of alerts counts as ready after ten seconds. Raises StackError if a component
        exits three times or is not ready in time. The message contains the end of the component's log.
        """
        while len(self._ready) < len(self._plan.components) + 1:  # the components and the topics
            infos = self._supervisord.processes()
            self._topics_step()
            for component in self._plan.components:
                if component.name in self._started_at:
                    self._check(component, infos[component.name])
                elif self._ready.issuperset(component.after) and self._may_start():
                    self._start(component)
            time.sleep(_POLL_SECONDS)

    @property
    def steps(self) -> int:
        """Number of steps that :meth:`run` reports."""
        return len(self._plan.components) + self._needs_topics()

    def _needs_topics(self) -> bool:
        return any(TOPICS in component.after for component in self._plan.components)

    def _may_start(self) -> bool:
        """Whether another component may start now; too many concurrent starts would keep Ray from starting on a busy machine."""
        return len(self._started_at.keys() - self._ready) < max(_STARTS_AT_ONCE, os.cpu_count() or 1)

    def _start(self, component: Component) -> None:
        self._started_at[component.name] = time.monotonic()
        self._reporter.begin(component.name, f"waiting for {component.health_url}")
        self._supervisord.start(component.name)

    def _topics_step(self) -> None:
        if TOPICS in self._ready or (self._plan.broker != "given" and "broker" not in self._ready):
            return
        self._reporter.begin(TOPICS, f"creating missing topics at {self._plan.bootstrap}")
        try:
            result = self._create_topics()
        except BrokerError as error:
            if self._plan.broker != "given":
                raise
            self.without_kafka = True
            result = f"{error}. Requests are answered and spooled; the topics are created once Kafka answers"
        self._ready.add(TOPICS)
        self._reporter.ready(TOPICS, result)

    def _check(self, component: Component, info: ProcessInfo) -> None:
        if component.name in self._ready:
            return
        self._refuse_crash_loop(component, info)
        health = (
            probe(component.health_url, _PROBE_SECONDS)
            if info.pid
            else Health(ok=False, hung=True, detail="not running")
        )
        waited = time.monotonic() - self._started_at[component.name]
        if self._stable(component, healthy=health.ok or (self.without_kafka and not health.hung)):
            self._ready.add(component.name)
            self._reporter.ready(component.name, component.address)
        elif waited > _RECEIVER_SECONDS and health.waiting and _receivers_only(health):
            self._ready.add(component.name)
            self._reporter.ready(component.name, f"{component.address}, not healthy yet: {health.detail}")
        elif waited > component.ready_seconds:
            raise StackError(
                f"{component.name} was not ready within {component.ready_seconds:.0f} s ({health.detail}); "
                + log_excerpt(self._home, component.name)
            )
        else:
            self._reporter.waiting(component.name, health.detail or "healthy, checking again")

    def _stable(self, component: Component, *, healthy: bool) -> bool:
        """Return whether `component` has been healthy for a second; some components open their port too early."""
        if not healthy:
            self._healthy_since.pop(component.name, None)
            return False
        since = self._healthy_since.setdefault(component.name, time.monotonic())
        return time.monotonic() - since >= _STABLE_SECONDS

    def _refuse_crash_loop(self, component: Component, info: ProcessInfo) -> None:
        pids = self._pids.setdefault(component.name, set())
        if info.pid:
            pids.add(info.pid)
        if info.statename == "FATAL" or len(pids) >= _STARTS_BEFORE_FAILURE:
            raise StackError(f"{component.name} does not start; {log_excerpt(self._home, component.name)}")


def _receivers_only(health: Health) -> bool:
    return all(reason.startswith(_RECEIVERS) for reason in health.reasons)
