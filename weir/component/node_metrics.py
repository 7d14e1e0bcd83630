"""The metrics of a serving node's other processes, through one port.

Why this exists: Ray starts gateways and model replicas when it wants, each on a loopback port of its own. Whoever scrapes from
another container or host reaches the port of ``serve`` alone, asks there for ``/targets`` (Prometheus' ``http_sd``), and finds each
process under ``/metrics/NAME``.
"""

import json
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException

from serving.metrics_targets import MetricsTarget
from stream.telemetry import Page

__all__ = ["NodeMetrics"]

_PATH = "/metrics/"
_SECONDS = 5.0
_JOB = "weir"


class NodeMetrics:
    """Answers ``/targets`` and ``/metrics/NAME``; asks nobody but the targets that it lists.

    Parameters
    ----------
    targets
        Returns the processes of this node, without the one that answers.
    """

    def __init__(self, targets: Callable[[], Sequence[MetricsTarget]]) -> None:
        self._targets = targets

    def page(self, path: str, host: str) -> Page | None:
        """Return the answer to a request for `path` that came to `host` (``name:port``), or None."""
        if path == "/targets":
            groups = [_group(host, target) for target in self._targets()]
            return Page(200, "application/json", json.dumps(groups).encode())
        if not path.startswith(_PATH):
            return None
        name = path.removeprefix(_PATH)
        target = next((one for one in self._targets() if one.name == name), None)
        return None if target is None else _ask(target.address)


def _group(host: str, target: MetricsTarget) -> dict[str, object]:
    labels = {"job": _JOB, "component": target.component, "process": target.name}
    return {"targets": [host], "labels": labels | {"__metrics_path__": _PATH + target.name}}


def _ask(address: str) -> Page:
    connection = HTTPConnection(address, timeout=_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return Page(answer.status, answer.getheader("Content-Type") or "text/plain", answer.read())
    except (OSError, HTTPException) as error:
        return Page(502, "text/plain", f"{address} does not answer ({error})\n".encode())
    finally:
        connection.close()
