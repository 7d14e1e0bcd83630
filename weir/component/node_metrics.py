"""Serve the metrics of a node's gateways and model replicas on the metrics port of the component ``serve``.

Ray can start gateways and replicas at any time, and each of these processes has its own loopback port. Prometheus on
another host can reach only the metrics port of ``serve``. On this port, Prometheus reads ``/targets`` (``http_sd``) and
scrapes each process at ``/metrics/NAME``.
"""

import json
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException

from serving.metrics_targets import MetricsTarget
from stream.telemetry import Page

_METRICS = "/metrics/"
_SCRAPE_SECONDS = 5.0
_JOB = "weir"


class NodeMetrics:
    """Answers ``/targets`` and ``/metrics/NAME`` for the processes that `targets` returns; it connects to no other address."""

    def __init__(self, targets: Callable[[], Sequence[MetricsTarget]]) -> None:
        self._targets = targets

    def page(self, path: str, host: str) -> Page | None:
        """Return the response to a request for `path` with the Host header `host`, or None if there is no such page."""
        if path == "/targets":
            groups = [_group(host, target) for target in self._targets()]
            return Page(200, "application/json", json.dumps(groups).encode())
        if not path.startswith(_METRICS):
            return None
        name = path.removeprefix(_METRICS)
        target = next((target for target in self._targets() if target.name == name), None)
        return None if target is None else _scrape(target.address)


def _group(host: str, target: MetricsTarget) -> dict[str, object]:
    labels = {"job": _JOB, "component": target.component, "process": target.name}
    return {"targets": [host], "labels": labels | {"__metrics_path__": _METRICS + target.name}}


def _scrape(address: str) -> Page:
    connection = HTTPConnection(address, timeout=_SCRAPE_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return Page(answer.status, answer.getheader("Content-Type") or "text/plain", answer.read())
    except (OSError, HTTPException) as error:
        return Page(502, "text/plain", f"{address} does not answer ({error})\n".encode())
    finally:
        connection.close()
