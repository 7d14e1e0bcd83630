"""Metrics of the score app. The number of label values is bounded: an unregistered detector counts as ``other``."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from detectors.base import ERROR, UNSUPPORTED_LANGUAGE
from stream.stages.shared.metrics import detector_label
from stream.wire import Verdict
from stream.wire.semconv import DURATION_BUCKETS

_SCORE_BUCKETS = tuple(tenth / 10 for tenth in range(1, 11))
#: Fields utime and stime in /proc/PID/stat, counted after the name, which may contain spaces.
_UTIME, _STIME = 11, 12


class ScoreMetrics:
    """The metrics of the score app."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self.cpu = CpuCollector(registry)
        self.events = counter("weir_score_events", "Events finished", ["kind"])
        self._verdicts = counter("weir_score_verdicts", "Verdicts published", ["detector", "label"])
        self._scores = histogram(
            "weir_score_value", "Scores of verdicts that are no error", ["detector", "side"], buckets=_SCORE_BUCKETS
        )
        self._detector = histogram(
            "weir_score_detector_seconds",
            "Time of a detector on the batch of an event",
            ["detector"],
            buckets=(0.001, 0.003, *DURATION_BUCKETS),
        )
        self.outstanding = gauge("weir_score_outstanding_events", "Events read and not yet acknowledged")
        self.lag = gauge("weir_score_lag_records", "Records of inference not yet acknowledged")
        self._explanations = counter(
            "weir_score_explanations", "Flagged verdicts by the outcome of their explanation", ["detector", "outcome"]
        )
        self.ticks = counter("weir_score_ticks", "Ticks forwarded")

    def verdict(self, verdict: Verdict) -> None:
        """Count a verdict as ``flagged``, ``clear``, ``error`` or ``unsupported_language``."""
        detector = detector_label(verdict.detector)
        unread = verdict.label in (ERROR, UNSUPPORTED_LANGUAGE)
        label = verdict.label if unread else "flagged" if verdict.flagged else "clear"
        self._verdicts.labels(detector, label).inc()
        if label != ERROR:
            self._scores.labels(detector, verdict.side).observe(verdict.score)

    def explanation(self, detector: str, outcome: str) -> None:
        """Count an explanation by its outcome.

        Outcomes: ``published``, ``enough`` (stream above its limit), ``long`` (text too long), ``full`` (queue
        full), ``late``, ``failed``.
        """
        self._explanations.labels(detector, outcome).inc()

    def detector_seconds(self, detector: str, seconds: float) -> None:
        """Observe the seconds that a detector took for a batch."""
        self._detector.labels(detector_label(detector)).observe(seconds)


def cpu_seconds(pid: int) -> float:
    """Return the user and system processor time of `pid` in seconds; 0 if the process has ended or /proc is missing."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


class CpuCollector(Collector):
    """A counter of processor time, which includes ended processes; the Prometheus client would count only the worker.

    `pids` defaults to this process and its children.
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
        self._lock = threading.Lock()  # each scrape has its own thread
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Yield the present total processor time."""
        with self._lock:
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
