"""docker-compose.yml without containers: run each service of the model that docker-compose renders as a process.

Commands, environments, mounted files, secrets, health checks and start order are those of the compose file. Text replacements: a
service's name becomes a loopback address (so all ports stay the same), a path in a container becomes a path in a scratch folder,
and a program of an image becomes the program of this machine.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from support.compose import ROOT
from support.gobuilds import collector, jaeger
from support.kafkascripts import write_scripts
from support.programs import alertmanager, prometheus

_NC = """import socket, sys
socket.create_connection((sys.argv[2], int(sys.argv[3])), 3).close()
"""
_DNS = re.compile(r"dns_sd_configs:\n +- \{names: \[([^]]+)\], type: A, port: (\d+), .+\}")
_TEXT = {".properties", ".yml", ".yaml", ".toml", ".txt", ".sh"}


class ComposeProcesses:
    """The services of a `model` (the output of ``docker compose config``) as processes with their files in `folder`.

    `network` is the first three numbers of the loopback addresses, `environment` has additional variables by service.
    """

    def __init__(self, model, folder, *, network, environment):
        self.services = model["services"]
        self.folder = folder
        self.address = {name: f"{network}.{number}" for number, name in enumerate(sorted(self.services), 1)}
        self._secrets = {name: Path(secret["file"]).name for name, secret in model.get("secrets", {}).items()}
        self._environments = environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._images = {
            "collector": [str(collector())],
            "jaeger": [str(jaeger())],
            "prometheus": [str(prometheus())],
            "alertmanager": [str(alertmanager())],
        }
        self._write_programs()
        self._make_secrets()

    def up(self, *names: str, seconds: float = 1500) -> None:
        """Start services after their dependencies are healthy or have succeeded; return when all are."""
        deadline = time.monotonic() + seconds
        for name in names:
            dependencies = self.services[name].get("depends_on", {})
            self.up(
                *(other for other in dependencies if other not in self._running), seconds=deadline - time.monotonic()
            )
            if name not in self._running:
                self._start(name)
                self._wait(name, deadline)

    def run(self, name: str, *command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command instead of the service's own, until it ends (``docker compose run``)."""
        self._copy_mounts(name)
        argv = [self.translate(name, part) for part in self._argv(name, list(command))]
        environment = self._environment(name)
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=seconds, check=False)

    def down(self) -> None:
        """End the services in reverse order; SIGKILL after the grace period."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def url(self, name: str, port: int) -> str:
        return f"http://{self.address[name]}:{port}"

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def path(self, name: str, inside: str) -> Path:
        """Return the local path of a path in a service's container."""
        return Path(self.translate(name, inside))

    def translate(self, name: str, text: str) -> str:
        """Return `text` of service `name` with local addresses and paths."""
        for inside, here in sorted(self._paths(name).items(), reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(inside)}(?=[/\s\"':,;)]|$)", str(here), text)
        text = _DNS.sub(self._static, text)
        text = re.sub(r"\b(?:0\.0\.0\.0|127\.0\.0\.1)\b", self.address[name], text)
        for other, address in self.address.items():
            text = re.sub(rf"\b{re.escape(other)}(?=:\d)", address, text)
        return text

    def _static(self, found: re.Match[str]) -> str:
        """Return what Prometheus finds by DNS in containers: each service of this model with the label of its name."""
        names = [name for name in found[1].split(", ") if name in self.services]
        targets = [{"targets": [f"{name}:{found[2]}"], "labels": {"__meta_dns_name": name}} for name in names]
        return f"static_configs: {json.dumps(targets)}"

    def _start(self, name: str) -> None:
        service = self.services[name]
        self._copy_mounts(name)
        command = [*(service.get("entrypoint") or []), *(service.get("command") or [])]
        argv = [self.translate(name, part) for part in self._argv(name, command)]
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                argv, env=self._environment(name), cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def _argv(self, name: str, command: list[str]) -> list[str]:
        if name in self._images:
            return [*self._images[name], *command]
        program, rest = command[0], command[1:]
        local = {
            "python": [sys.executable],
            "weir": [sys.executable, "-c", "from weir.cli import main; main(prog_name='weir')"],
            "mlflow": [sys.executable, "-m", "mlflow"],
        }
        return [*local.get(program, [program]), *rest]

    def _environment(self, name: str) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_")}
        own = {
            key: self.translate(name, value) for key, value in (self.services[name].get("environment") or {}).items()
        }
        home = self._paths(name).get("/var/lib/weir")
        programs, secrets = str(self.folder / "bin"), str(self._paths(name)["/run/secrets"])
        return (
            clean
            | {"PATH": f"{programs}:{os.environ['PATH']}", "KAFKA_BIN": programs, "KAFKA_SECRETS": secrets}
            | ({"WEIR_HOME": str(home)} if home else {})  # which the image sets
            | own
            | self._environments.get(name, {})
        )

    def _paths(self, name: str) -> dict[str, Path]:
        """Return {path in the container: local path}."""
        service = self.services[name]
        found = {"/run/secrets": self.folder / "secrets-of" / name}
        for mount in service.get("tmpfs", []):
            inside = mount.split(":")[0]
            if inside != "/tmp":
                found[inside] = self.folder / "own" / name / inside.strip("/")
        for mount in service.get("volumes", []):
            here = (
                Path("volumes") / mount["source"]
                if mount["type"] == "volume"
                else Path("mounts") / name / mount["target"].strip("/")
            )
            found[mount["target"]] = self.folder / here
        for here in found.values():
            if not here.suffix:
                here.mkdir(mode=0o700, parents=True, exist_ok=True)
        _nest(found)
        return found

    def _copy_mounts(self, name: str) -> None:
        paths = self._paths(name)
        for mount in self.services[name].get("volumes", []):
            if mount["type"] != "bind":
                continue
            source, target = Path(mount["source"]), paths[mount["target"]]
            for path in [source] if source.is_file() else source.rglob("*"):
                if path.is_file() and path.suffix in _TEXT:
                    copy = target if source.is_file() else target / path.relative_to(source)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_text(self.translate(name, path.read_text()))
        for secret in self.services[name].get("secrets", []):
            link = paths["/run/secrets"] / secret["source"]
            if not link.exists():
                link.symlink_to(self.folder / "secrets" / self._secrets[secret["source"]])

    def _wait(self, name: str, deadline: float) -> None:
        process = self._running[name]
        check = self.services[name].get("healthcheck", {}).get("test")
        while True:
            if not check and process.poll() == 0:
                return
            if process.poll() is not None:
                raise AssertionError(f"{name} ended with {process.poll()}: {self.log(name)[-3000:]}")
            if not check and "on-failure" not in self.services[name]["restart"]:
                return  # it has no health check
            if check and self._healthy(name, check):
                return
            assert time.monotonic() < deadline, f"{name} was not healthy in time: {self.log(name)[-3000:]}"
            time.sleep(0.5)

    def _healthy(self, name: str, check: list[str]) -> bool:
        kind, *command = check
        argv = ["sh", "-c", *command] if kind == "CMD-SHELL" else self._argv("", command)
        check = [self.translate(name, part) for part in argv]
        done = subprocess.run(check, env=self._environment(name), capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def _write_programs(self) -> None:
        """Write the programs of Kafka's image that this machine lacks: Kafka's scripts (with Maven's jars), and nc."""
        programs = self.folder / "bin"
        programs.mkdir()
        write_scripts(programs)
        if shutil.which("nc") is None:
            nc = programs / "nc"
            nc.write_text(f"#!{sys.executable}\n{_NC}")
            nc.chmod(0o755)

    def _make_secrets(self) -> None:
        subprocess.run(
            ["sh", ROOT / "deploy/secrets.sh", self.address["kafka"]],
            env={"PATH": os.environ["PATH"], "WEIR_SECRETS": str(self.folder / "secrets")},
            capture_output=True,
            check=True,
        )


def _nest(paths: dict[str, Path]) -> None:
    """Link each mount that is inside another mount, such as the spool in a component's home."""
    for outer, there in paths.items():
        for inner, here in paths.items():
            link = there / inner.removeprefix(f"{outer}/")
            if inner.startswith(f"{outer}/") and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(here)
