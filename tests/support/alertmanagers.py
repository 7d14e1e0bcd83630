"""A real Alertmanager on loopback that notifies a webhook at once."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from support.programs import alertmanager, served

CONFIG = """
route:
  receiver: test
  group_by: ["..."]
  group_wait: 50ms
  group_interval: 100ms
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


class Alertmanager:
    """A process on its own port; `start` after `kill` starts with an empty store."""

    def __init__(self, folder: Path, port: int, hook: str, inhibit_rules: Sequence[Any] = ()) -> None:
        self._inhibit_rules = json.dumps({"inhibit_rules": inhibit_rules})[1:-1]  # JSON is YAML
        self._folder = folder
        self._port = port
        self._hook = hook
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> "Alertmanager":
        self._starts += 1
        config = self._folder / "alertmanager.yml"
        config.write_text(CONFIG.format(url=self._hook) + self._inhibit_rules)
        arguments = [
            f"--config.file={config}",
            f"--storage.path={self._folder / str(self._starts)}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
        ]
        command = [alertmanager(), *arguments]
        self._process = served(command, f"{self.url}/-/ready", self._folder / "alertmanager.log")
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Return the Alertmanager's firing alerts in the format of its API."""
        wanted = [("filter", f"{name}={json.dumps(value)}") for name, value in labels.items()]
        found = httpx.get(f"{self.url}/api/v2/alerts", params=wanted, timeout=10, verify=False)  # reads no certificates
        found.raise_for_status()
        return found.json()


def notified(requests: list[Any], wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return the alerts of an Alertmanager's notifications that `wanted` accepts."""
    return [alert for request in requests for alert in request.message["alerts"] if wanted(alert)]
