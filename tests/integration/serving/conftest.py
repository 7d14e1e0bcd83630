"""One real Ray with its edge, started once a session on ports of its own, the echo engine behind it."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from support.spool import events_of

from serving.metrics_targets import list_targets
from serving.ray_local import RayLayout, short_run_dir
from stream.wire import RequestRecord, ResponseRecord
from weir.home.ports import ensure_ports

KEY = "weir-integration-key"
START_SECONDS = 110
ATTEMPTS = 3


def until(condition, seconds: float, what: str):
    """Return what `condition` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.05)
    return found


class Serving:
    """A running head and driver."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports, _ = ensure_ports(home, [*RayLayout.port_names(), "http"])
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        key = {"id": "k_1", "tenant": "acme", "sha256": digest, "created": "x", "revoked": None}
        (home / "keys.json").write_text(json.dumps({"keys": [key]}))
        self.run_dir = short_run_dir(home)
        self.layout = RayLayout(self.run_dir, self.ports)
        self.url = f"http://127.0.0.1:{self.ports['http']}"
        self.head = self.driver = None
        self.pids: set[int] = set()

    def start(self) -> None:
        for _ in range(ATTEMPTS):
            self.layout.prepare()
            self.head = self._spawn("head", self.layout.head_command(), self.layout.environment())
            main = Path(__file__).with_name("driver_main.py")
            self.driver = self._spawn("driver", [sys.executable, str(main), str(self.home)], {})
            if self._ready():
                return
            self.stop()
        pytest.fail(f"no readiness in {ATTEMPTS} starts:\n{self.log('driver')[-3000:]}\n{self.log('head')[-3000:]}")

    def _spawn(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
            )
        # Each session gets an equal share of a busy machine, and a raylet that is 15 s late gives up.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text("-10")
        return process

    def _ready(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.head.poll() is None and self.driver.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return True
            time.sleep(0.2)
        return False

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def processes(self) -> list[psutil.Process]:
        root = psutil.Process(self.head.pid)
        found = [root, *root.children(recursive=True)]
        self.pids |= {process.pid for process in found}
        return found

    def pid_of(self, component: str) -> int:
        return next(t.pid for t in list_targets(self.home / "run" / "metrics") if t.component == component)

    def records(self) -> list:
        """Every request and end of every gateway so far."""
        events = [e for path in (self.home / "spool").glob("gateway-*") for e in events_of(path)]
        return [event for event in events if isinstance(event.data, RequestRecord | ResponseRecord)]

    def end_of(self, request_id: str):
        return next((event for event in self.records() if event.id == f"{request_id}/end"), None)

    def stop(self) -> None:
        for process in (self.driver, self.head):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                if process.poll() is None:
                    process.kill()
                    process.wait()


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    running = Serving(tmp_path_factory.mktemp("serving"))
    try:
        running.start()
        running.processes()
        yield running
    finally:
        running.stop()
        shutil.rmtree(running.run_dir, ignore_errors=True)
