"""Metrics of the lab's processes, and their memory and file descriptors as the kernel reports them."""

from http.client import HTTPException
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families


class Meters:
    """Metrics, memory and descriptors of the components `children`, whose metrics are served at `ports`."""

    def __init__(self, children, ports) -> None:
        self._children = children
        self._ports = ports

    def metric(self, name, metric, **labels):
        """Return the sum of a metric over its series with `labels`; -1 if the component does not answer with the metric."""
        try:
            with urlopen(f"http://127.0.0.1:{self._ports[name]}/metrics", timeout=2) as page:
                families = list(text_string_to_metric_families(page.read().decode()))
        except (OSError, HTTPException):
            return -1.0
        if metric.removesuffix("_total") not in {family.name for family in families}:
            return -1.0
        samples = [sample for family in families for sample in family.samples if sample.name == metric]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def ledger_behind(self):
        """Return the number of records that the ledger has not read; a million if it does not answer."""
        caught_up = self.metric("ledger", "weir_ledger_caught_up")
        lag = self.metric("ledger", "weir_ledger_lag_records")
        return 1e6 if caught_up < 0 or lag < 0 else max(lag, 0.0 if caught_up else 1000.0)

    def memory_mb(self, name):
        """Return the resident memory of a component and the processes that it started, in MiB."""
        return sum(process.memory_info().rss for process in self._processes(name)) / 2**20

    def descriptors(self, name):
        """Return the number of open file descriptors of a component."""
        return sum(process.num_fds() for process in self._processes(name)[:1])

    def _processes(self, name):
        try:
            root = psutil.Process(self._children[name].wait_running())
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
