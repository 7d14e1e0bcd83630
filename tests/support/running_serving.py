"""A real Ray with HAProxy as its edge and with the driver, on its own ports."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from serving.metrics_targets import list_targets
from serving.ray_local import layout
from serving.ray_local.layout import RayLayout, short_run_dir
from stream.wire import RequestRecord, ResponseRecord
from support.gateway import KEY, write_keys
from support.spool import events_of
from weir.home.ports import PORT_NAMES, ensure_ports
from weir.local.broker.launch import BrokerPlan
from weir.local.build_plan import build_plan
from weir.local.plan import save_plan
from weir.settings import Settings

START_SECONDS = 110
ATTEMPTS = 3


class Serving:
    """A running Ray head and driver; `variables` returns the settings for a given URL of the endpoint."""

    #: The nice value of this session's scheduler group. Sessions share a busy CPU equally by default, and a raylet that is 15 s
    #: late exits; so this session gets a larger share.
    autogroup = "-10"

    def __init__(
        self, home: Path, variables: Callable[[str], dict[str, str]], start_seconds: float = START_SECONDS
    ) -> None:
        self.home = home
        self._start_seconds = start_seconds
        (home / "logs").mkdir()
        self.ports, _ = ensure_ports(home, [*PORT_NAMES, *layout.PORT_NAMES, "http"])
        write_keys(home / "keys.json", ("k_1", "acme", KEY, None))
        self.run_dir = short_run_dir(home)
        self.layout = RayLayout(self.run_dir, self.ports)
        self.url = f"http://127.0.0.1:{self.ports['http']}"
        self.own = variables(self.url) | {"WEIR_HOME": str(home), "WEIR_HTTP__PORT": str(self.ports["http"])}
        own_settings = Settings(home=home, http={"port": self.ports["http"]}, mlflow={"enabled": False})
        self.plan = build_plan(own_settings, BrokerPlan(kind="given"), self.ports, self.run_dir, ("ray", "serve"))
        save_plan(self.plan)
        self.head = self.driver = None
        self.pids: set[int] = set()

    def start(self) -> None:
        for _ in range(ATTEMPTS):
            self.layout.prepare()
            self.head = self._spawn("head", "ray")
            self.driver = self._spawn("driver", "serve")
            if self._ready():
                return
            self.stop()
        pytest.fail(f"no readiness in {ATTEMPTS} starts:\n{self.log('driver')[-3000:]}\n{self.log('head')[-3000:]}")

    def _spawn(self, name: str, component: str) -> subprocess.Popen:
        started = self.plan.component(component)
        environment = os.environ | self.own | started.environment
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(started.argv, env=environment, stdout=log, stderr=log, start_new_session=True)
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text(self.autogroup)
        return process

    def _ready(self) -> bool:
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline and self.head.poll() is None and self.driver.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                # With `verify=False`, a call reads no certificates.
                if httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False, verify=False).status_code == 200:
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
        """Return the requests and ends of all gateways so far."""
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
