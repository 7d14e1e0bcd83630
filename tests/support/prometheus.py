"""A real Prometheus on loopback over the processes of a stack, with the rules of deploy/prometheus."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from support.programs import prometheus, served
from support.stack import free_port

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/*.yml"]
scrape_configs:
  - job_name: weir
    file_sd_configs:
      - files: ["{targets}"]
        refresh_interval: 1s
"""


class Prometheus:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _get(self, path: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{path} {parameters}: {answer.text}"
        return answer.json()["data"]

    def query(self, expression: str) -> list[float]:
        """Return the values of an instant query without NaN."""
        values = [float(one["value"][1]) for one in self._get("query", query=expression)["result"]]
        return [value for value in values if value == value]  # noqa: PLR0124 - only NaN differs from itself

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]


@contextlib.contextmanager
def watching(folder: Path, targets: Path) -> Iterator[Prometheus]:
    """Scrape `targets` (file_sd) once a second."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(rules=RULES, targets=targets))
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    url = f"http://127.0.0.1:{port}"
    process = served([prometheus(), *arguments], f"{url}/-/ready", folder / "prometheus.log")
    try:
        with httpx.Client(base_url=url, timeout=30) as client:
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(30)
