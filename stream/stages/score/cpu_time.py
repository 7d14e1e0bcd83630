"""What scoring costs: processor time of the worker and of its model processes, which a process's own metric leaves out."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

__all__ = ["CpuCollector", "cpu_seconds"]

#: Places of utime and stime in /proc/PID/stat, counted behind the name, which may hold spaces.
_UTIME, _STIME = 11, 12


def cpu_seconds(pid: int) -> float:
    """Return the processor time that `pid` has used, in user and system mode; 0 where it is gone, or this is no Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


class CpuCollector(Collector):
    """A counter that never goes back: a process that ended keeps what it was last seen with.

    Parameters
    ----------
    registry
        Where it is shown.
    pids
        The processes that live: this one and its children, when left out.
    used
        Processor time of a process.
    """

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
        """Yield the total as it is now."""
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
