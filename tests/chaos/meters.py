"""What the lab's processes say of themselves, and what the kernel says of them."""

import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

import psutil
from prometheus_client.parser import text_string_to_metric_families

from chaos.supervisor import Child

__all__ = ["Meters"]


class Meters:
    """Metrics, memory and descriptors of the components.

    Parameters
    ----------
    children
        The processes by name.
    ports
        Of their metrics.
    """

    def __init__(self, children: Mapping[str, Child], ports: Mapping[str, int]) -> None:
        self._children = children
        self._ports = ports

    def metric(self, name: str, metric: str, **labels: str) -> float:
        """Return the sum of a metric of a component over its series with `labels`; -1 where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=2) as page:
                families = list(text_string_to_metric_families(page.read().decode()))
        except (OSError, HTTPException):
            return -1.0
        wanted = labels.items()
        found = [
            one.value
            for family in families
            for one in family.samples
            if one.name == metric and wanted <= one.labels.items()
        ]
        return sum(found)

    def ledger_behind(self) -> float:
        """Return how many records the ledger has not read; a million where it does not answer."""
        caught_up = self.metric("ledger", "weir_ledger_caught_up")
        lag = self.metric("ledger", "weir_ledger_lag_records")
        return 1e6 if caught_up < 0 or lag < 0 else max(lag, 0.0 if caught_up else 1000.0)

    def memory_mb(self, name: str) -> float:
        """Return the resident memory of a component and the processes that it started."""
        return sum(one.memory_info().rss for one in self._family(name)) / 2**20

    def descriptors(self, name: str) -> int:
        """Return how many file descriptors a component has open."""
        return sum(one.num_fds() for one in self._family(name)[:1])

    def _family(self, name: str) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._children[name].wait_running())
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
