"""Run the compose files on a Docker engine: build the images and start every service, once for all tests of this folder."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.compose import BASE, ROOT, SECURE, compose_program
from support.stack import free_ports

PORTS = (
    "GATEWAY_PORT",
    "CONSOLE_PORT",
    "JAEGER_PORT",
    "MLFLOW_PORT",
    "PROMETHEUS_PORT",
    "ALERTMANAGER_PORT",
    "GRAFANA_PORT",
)
#: Further arguments of `docker compose up`, such as `--pull never --scale grafana=0` if an image cannot be pulled. Without
#: `--pull never`, compose also pulls the images of services that it does not start.
UP = os.environ.get("UP", "").split()
#: The files that the containers of the secure stack mount.
MOUNTED = (BASE, SECURE, ".env", "weir.toml", "deploy")


class Containers:
    """Run docker-compose with the files of the repository, as a separate project. Containers mount copies of the files, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")} | {
            "COMPOSE_FILE": f"{BASE}:{SECURE}",
            "COMPOSE_PROJECT_NAME": f"weir-test-{os.getpid()}",
            **{name: str(port) for name, port in self.ports.items()},
        }

    def compose(self, *arguments: str, seconds: float = 300, folder: Path | None = None, check: bool = True) -> str:
        """Run docker-compose, and return its standard output."""
        done = subprocess.run(
            [compose_program(), *arguments],
            cwd=folder or self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, service: str, *command: str, seconds: float = 120) -> str:
        """Run a command in the running container of a service."""
        return self.compose("exec", "-T", service, *command, seconds=seconds)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the output of `docker inspect` for each container, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, timeout=60, check=True)
        return {found["Config"]["Labels"]["com.docker.compose.service"]: found for found in json.loads(done.stdout)}

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"


@pytest.fixture(scope="session")
def stack() -> Iterator[Containers]:
    folder = Path(tempfile.mkdtemp(prefix="weir-containers-"))
    for name in MOUNTED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("secrets"))
        else:
            shutil.copy2(source, folder / name)
    started = Containers(folder)
    subprocess.run(["sh", "deploy/secrets.sh"], cwd=folder, check=True, capture_output=True, timeout=60)
    started.compose("build", "serving", "mlflow", folder=ROOT, seconds=5400)
    try:
        started.compose("up", "--detach", "--wait", "--no-build", *UP, seconds=1800)
        yield started
    except BaseException:
        print(started.compose("ps", "--all", check=False))
        print(started.compose("logs", "--tail=60", "--no-color", check=False))
        raise
    finally:
        started.compose("down", "--volumes", "--timeout=30", seconds=300)
        shutil.rmtree(folder)
