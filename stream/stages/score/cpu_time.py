"""Processor time of the worker and of its model processes; the Prometheus client would count only the worker."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

__all__ = ["CpuCollector", "cpu_seconds"]

#: Fields utime and stime in /proc/PID/stat, counted after the name, which may contain spaces.
_UTIME, _STIME = 11, 12


def cpu_seconds(pid: int) -> float:
    """Return the user and system processor time of `pid` in seconds; 0 if the process has ended or /proc is missing."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


class CpuCollector(Collector):
    """A counter of processor time, which includes ended processes. `pids` defaults to this process and its children."""

    def __init__(
        self,
        registry: CollectorRegistry,
        pids: Callable[[], Iterable[int]] | None = None,
        used: Callable[[int], float] = cpu_seconds,
    ) -> None:
        self._pids = pids or _own
        self._used = used
        self._living: dict[int, float] = {}
        self._ended = 0.0
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Yield the present total processor time."""
        pids = set(self._pids())
        self._ended += sum(seconds for pid, seconds in self._living.items() if pid not in pids)
        self._living = {pid: max(self._used(pid), self._living.get(pid, 0.0)) for pid in pids}
        total = self._ended + sum(self._living.values())
        yield CounterMetricFamily(
            "weir_score_cpu_seconds", "Processor time of this worker and its model processes", total
        )


def _own() -> list[int]:
    children = (child.pid for child in multiprocessing.active_children())
    return [os.getpid(), *(pid for pid in children if pid is not None)]
