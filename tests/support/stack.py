"""A whole stack as a user runs it: ``weir up --detach`` with its own home and port."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stream.ledger.queries.ledger_reader import LedgerReader
from support.running_broker import free_ports
from weir.home.api_keys import create_key
from weir.local.plan import WATCHER
from weir.local.supervisord.rpc_client import connect

WEIR = Path(sys.executable).with_name("weir")
UP_SECONDS = 600

CONFIG = """
[tenants."e2e-*"]
bucket_seconds = 5
[tenants."e2e-*".alerts]
resolve_after_seconds = 30
update_seconds = 2
[tenants."e2e-resolve".alerts]
resolve_after_seconds = 5
[tenants."e2e-canary".loop.delivery]
shadow_share = 0
steps = [50, 100]
min_events = 20
[tenants."e2e-panels".drift]
reference_events = 8
[tenants."e2e-panels".anomaly]
reference_events = 8
"""


def free_port() -> int:
    return free_ports(1)[0]


def until(what: str, check: Callable[[], Any], seconds: float = 60, every: float = 0.25) -> Any:
    """Poll `check` until its result is true; fail with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        if result := check():
            return result
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every)


class Stack:
    """A stack that is controlled with the command `weir`."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self.config = home.parent / f"{home.name}.toml"
        self.config.write_text(CONFIG)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        self.env = clean | {
            "WEIR_HOME": str(home),
            "WEIR_CONFIG": str(self.config),
            "WEIR_HTTP__PORT": str(self.port),
            **settings,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    def weir(self, *arguments: str, check: bool = True, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [WEIR, *arguments], env=self.env, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert not check or done.returncode == 0, f"weir {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, check: bool = True) -> Any:
        return json.loads(self.weir(*arguments, "--json", check=check).stdout)

    def json_lines(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self.weir(*arguments, "--json").stdout.splitlines()]

    def status(self) -> Any:
        return self.json("status", check=False)

    def up(self) -> None:
        self.weir("up", "--detach", seconds=UP_SECONDS)

    def down(self) -> None:
        self.weir("down", seconds=120)

    def stop(self, *components: str) -> None:
        """Stop components, and first the watcher, which would restart them."""
        supervisord = connect(self.home)
        for name in (WATCHER, *components):
            supervisord.stop(name)
        assert supervisord.wait_stopped([WATCHER, *components], 60)

    def new_key(self, tenant: str) -> str:
        return create_key(self.home, tenant)[1]

    def pid(self, component: str) -> int:
        return connect(self.home).processes()[component].pid

    def complete(self, seconds: float = 120) -> Any:
        """Wait until every record is delivered and no verdict is pending; return the status."""

        def check() -> Any:
            if LedgerReader(self.home / "ledger").coverage().total.pending:
                return None  # a process for `weir status` would slow down the stack
            status = self.status()
            coverage, capture = status["coverage"], status["capture"]
            done = not coverage["pending"] and capture["accepted"] == capture["delivered"] + capture["shed"]
            return status if done and coverage["owed"] else None

        return until("every record delivered, no verdict pending", check, seconds)


@contextlib.contextmanager
def running(**settings: str) -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="weir-e2e-"))
    stack = Stack(folder / "home", **settings)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        shutil.rmtree(folder, ignore_errors=True)
