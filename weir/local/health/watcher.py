"""The watcher: restart components that hang or that supervisord does not start again, and log to ``supervisor.log``.

supervisord runs ``python -m weir.local.health.watcher HOME``. The watcher can be restarted at any time, because its state is on disk.
"""

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import psutil

from serving.process_identity import process_identity
from weir.errors import SettingsError, StackError
from weir.home.port_blocks import blocks_directory
from weir.local.health.hang_detector import HangDetector
from weir.local.health.health_probe import Health, probe
from weir.local.log_tail import ExitLog
from weir.local.plan import Component, Plan, load_plan, log_path, topics_pending
from weir.local.prometheus_targets import write_prometheus_targets
from weir.local.stack_state import ComponentState, load_components, save_components
from weir.local.supervisord.rpc_client import ProcessInfo, Supervisord, connect

_INTERVAL_SECONDS = 2.0
_PROBE_SECONDS = 4.0  # a busy machine answers late
_ROUNDS_PER_REFRESH = 8
_DOWN = {"FATAL", "EXITED", "STOPPED", "UNKNOWN"}


class Watcher:
    """Checks every component of `plan` in each round."""

    def __init__(self, plan: Plan, supervisord: Supervisord) -> None:
        self._plan = plan
        self._home = Path(plan.home)
        self._supervisord = supervisord
        self._detectors = {item.name: HangDetector(ready_seconds=item.ready_seconds) for item in plan.components}
        self._states = {state.name: state for state in load_components(self._home)}
        self._exits = ExitLog(self._home / "logs" / "supervisord.log")
        self._refused: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(max_workers=len(plan.components) or 1, thread_name_prefix="probe")

    def round(self) -> None:
        """Check all components once, start those that do not run, restart those that hang, and write the states."""
        infos = self._supervisord.processes()
        # After `processes`, so that an exit is logged before the new start.
        for name, reason in self._exits.new_exits():
            log(f"{name} died ({reason}); its log: {log_path(self._home, name)}")
        running = [component for component in self._plan.components if infos[component.name].pid]
        answers = dict(zip((c.name for c in running), self._pool.map(self._probe, running), strict=True))
        # A broker that exits at each start has no answer.
        broker_down = "broker" in infos and not ("broker" in answers and answers["broker"].ok)
        for component in self._plan.components:
            info = infos[component.name]
            self._record(component, info)
            if info.pid:
                self._restart_if_hung(component, info, answers[component.name], broker_down=broker_down)
            elif info.statename in _DOWN and info.start:
                self._start(info)
        with contextlib.suppress(OSError):  # the watcher restarts components on a full disk too
            save_components(self._home, [self._states[component.name] for component in self._plan.components])

    @staticmethod
    def _probe(component: Component) -> Health:
        return probe(component.health_url, _PROBE_SECONDS)

    def _record(self, component: Component, info: ProcessInfo) -> None:
        before = self._states.get(component.name)
        restarted = bool(info.pid and before and before.started_at and before.pid != info.pid)
        restarts = (before.restarts if before else 0) + restarted
        self._states[component.name] = ComponentState(
            name=component.name,
            pid=info.pid,
            address=component.address,
            health_url=component.health_url,
            log=str(log_path(self._home, component.name)),
            started_at=float(info.start),
            restarts=restarts,
            running=bool(info.pid),
            identity=(process_identity(info.pid) or "") if info.pid else "",
        )
        if restarted:
            log(f"{component.name} was started again (pid {info.pid}, restart {restarts})")

    def _restart_if_hung(self, component: Component, info: ProcessInfo, health: Health, *, broker_down: bool) -> None:
        detector = self._detectors[component.name]
        decision = detector.update(health, pid=info.pid, now=time.monotonic())
        if decision.message:
            log(f"{component.name} {decision.message}")
        if decision.restart and (health.hung or not broker_down):
            log(f"{component.name} (pid {info.pid}) hangs: {health.detail}; stopping it, then starting it again")
            detector.restarting = self._request(self._supervisord.stop, component.name)

    def _start(self, info: ProcessInfo) -> None:
        if info.statename == "FATAL":
            log(f"{info.name} keeps failing at its start; retrying, its log: {log_path(self._home, info.name)}")
        self._request(self._supervisord.start, info.name)

    def _request(self, action: Callable[[str], None], name: str) -> bool:
        """Request a start or stop of component `name`; return whether supervisord accepted it. Each reason of a refusal is logged once."""
        try:
            action(name)
        except StackError as error:
            # For example, no memory for another process. The other components still need the watcher.
            if self._refused.get(name) != str(error):
                log(f"{name}: {error}; retrying")
            self._refused[name] = str(error)
            return False
        self._refused.pop(name, None)
        return True


def log(text: str, clock: Callable[[], float] = time.time) -> None:
    """Write a line to ``supervisor.log``, with the time in UTC."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(clock()))} {text}", flush=True)  # noqa: T201 - stdout is supervisor.log


def _create_pending_topics(plan: Plan) -> str:
    """Try to create the pending topics; return a line to log, or ""."""
    # Imported here: aiokafka and pydantic, which most watchers never need.
    from weir.local.create_topics import retry_pending  # noqa: PLC0415
    from weir.settings import load_settings  # noqa: PLC0415

    try:
        return retry_pending(plan, load_settings().settings)
    except SettingsError as error:  # weir.toml was changed since the start; the components still need the watcher
        return f"the missing topics are created once the settings are valid: {error}"


@contextlib.contextmanager
def _kept_folders(plan: Plan) -> Iterator[None]:
    """Lock the stack's folders in ``/tmp``: systemd-tmpfiles deletes files older than ten days there, but not in a locked folder."""
    with contextlib.ExitStack() as locks:
        with contextlib.suppress(OSError, StackError):  # the components need the watcher more than the lock
            for folder in (Path(plan.run_dir), blocks_directory()):
                handle = os.open(folder, os.O_RDONLY)
                locks.callback(os.close, handle)
                fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def main(argv: list[str]) -> None:
    """Watch the stack of the home in `argv` until SIGTERM, or until supervisord ends."""
    home = Path(argv[0])
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    parent = psutil.Process().parent()
    plan = load_plan(home)
    watcher = Watcher(plan, connect(home))
    rounds, logged = 0, ""
    with _kept_folders(plan):
        while not stop.wait(_INTERVAL_SECONDS):
            if parent is None or not parent.is_running():
                return
            watcher.round()
            rounds += 1
            if rounds % _ROUNDS_PER_REFRESH == 1:
                with contextlib.suppress(OSError):
                    write_prometheus_targets(home, plan)
                message = _create_pending_topics(plan) if topics_pending(home).exists() else ""
                if message and message != logged:
                    log(message)
                    logged = message


if __name__ == "__main__":
    main(sys.argv[1:])
