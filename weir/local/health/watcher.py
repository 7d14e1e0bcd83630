"""The watcher: finds what hangs by its health, revives what supervisord gave up, and tells both in ``supervisor.log``.

``python -m weir.local.health.watcher HOME``, itself a program of supervisord's. All that it must not forget is on disk.
"""

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import psutil

from weir.local.health.hang_detector import Judge
from weir.local.health.health_probe import Health, probe
from weir.local.plan import Component, Plan, load_plan, state_dir
from weir.local.processes import identity
from weir.local.stack_state import ComponentState, components, write_components, write_targets
from weir.local.supervisord.config_file import log_path
from weir.local.supervisord.exit_log import Deaths
from weir.local.supervisord.held_components import held
from weir.local.supervisord.rpc_client import ProcessInfo, Supervisord, connect

__all__ = ["Watcher", "main"]

_INTERVAL_SECONDS = 2.0
_ANSWER_SECONDS = 4.0  # a machine at its limits answers late
_SELDOM = 8  # rounds
_DOWN = {"FATAL", "EXITED", "STOPPED", "UNKNOWN"}


class Watcher:
    """Looks at every component of a plan, round by round.

    Parameters
    ----------
    plan
        The stack.
    supervisord
        Who starts and stops.
    """

    def __init__(self, plan: Plan, supervisord: Supervisord) -> None:
        self._plan = plan
        self._home = Path(plan.home)
        self._supervisord = supervisord
        self._judges = {one.name: Judge(ready_seconds=one.ready_seconds) for one in plan.components}
        self._known = {one.name: one for one in components(self._home)}
        self._deaths = Deaths(self._home / "logs" / "supervisord.log")
        self._pool = ThreadPoolExecutor(max_workers=len(plan.components) or 1, thread_name_prefix="probe")

    def round(self) -> None:
        """Look once: revive, judge, restart what hangs, write what is known."""
        for name, reason in self._deaths.news():
            say(f"{name} died ({reason}); its log: {log_path(self._home, name)}")
        infos = self._supervisord.processes()
        running = [one for one in self._plan.components if infos[one.name].pid]
        answers = dict(zip((c.name for c in running), self._pool.map(self._ask, running), strict=True))
        broker_down = "broker" in answers and not answers["broker"].ok
        holding = held(self._home)
        for component in self._plan.components:
            info = infos[component.name]
            self._note(component, info)
            if component.name in holding:
                continue
            if info.pid:
                self._judge(component, info, answers[component.name], broker_down=broker_down)
            elif info.statename in _DOWN and info.start:
                self._revive(info)
        write_components(self._home, [self._known[one.name] for one in self._plan.components])

    @staticmethod
    def _ask(component: Component) -> Health:
        return probe(component.health_url, _ANSWER_SECONDS)

    def _note(self, component: Component, info: ProcessInfo) -> None:
        before = self._known.get(component.name)
        again = bool(info.pid and before and before.started_at and before.pid != info.pid)
        restarts = (before.restarts if before else 0) + again
        self._known[component.name] = ComponentState(
            name=component.name,
            pid=info.pid,
            address=component.address,
            health_url=component.health_url,
            metrics_url=f"http://{component.metrics}/metrics" if component.metrics else "",
            log=str(log_path(self._home, component.name)),
            started_at=float(info.start),
            restarts=restarts,
            running=bool(info.pid),
            identity=(identity(info.pid) or "") if info.pid else "",
        )
        if again:
            say(f"{component.name} was started again (pid {info.pid}, restart {restarts})")

    def _judge(self, component: Component, info: ProcessInfo, health: Health, *, broker_down: bool) -> None:
        judge = self._judges[component.name]
        verdict = judge.see(health, pid=info.pid, now=time.monotonic(), age=time.time() - info.start)
        if verdict.news:
            say(f"{component.name} {verdict.news}")
        if verdict.restart and not (broker_down and not health.hung):
            say(f"{component.name} (pid {info.pid}) hangs: {health.detail}; stopping it, then starting it again")
            judge.restarting = True
            self._supervisord.stop(component.name)

    def _revive(self, info: ProcessInfo) -> None:
        if info.statename == "FATAL":
            say(f"{info.name} keeps failing at its start; trying again, its log: {log_path(self._home, info.name)}")
        self._supervisord.start(info.name)


def say(text: str) -> None:
    """Write one line of the supervisor's story."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)  # noqa: T201 - stdout is supervisor.log


def _make_topics(home: Path) -> None:
    from weir.local.create_topics import retry_pending  # noqa: PLC0415 - so is aiokafka
    from weir.settings import load_settings  # noqa: PLC0415 - seldom needed, and pydantic is heavy

    said = retry_pending(load_plan(home), load_settings().settings)
    if said:
        say(said)


def main(argv: list[str]) -> None:
    """Watch the stack of the home in `argv` until SIGTERM, or until supervisord is gone."""
    home = Path(argv[0])
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    parent = psutil.Process().parent()
    plan = load_plan(home)
    watcher = Watcher(plan, connect(home))
    rounds = 0
    while not stop.wait(_INTERVAL_SECONDS):
        if parent is None or not parent.is_running():
            return
        watcher.round()
        rounds += 1
        if rounds % _SELDOM == 1:
            write_targets(home, plan)
            if (state_dir(home) / "topics-pending").exists():
                _make_topics(home)


if __name__ == "__main__":
    main(sys.argv[1:])
