"""The cost of a detector: time per text and memory, measured in a separate process per detector.

If all detectors ran in one process, libraries and weights that an earlier detector loaded would not be counted. Cached
outputs of the shared encoder would make later detectors appear to cost nothing.
"""

import multiprocessing
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from detectors.errors import DetectorError
from detectors.evaluate.labelled import Input

BATCH = 32
STATUS = Path("/proc/self/status")
INTERRUPT = {signal.SIGINT}


def _resident() -> tuple[float, float]:
    """Return this process's resident memory and its peak in MiB."""
    # Not getrusage: a child process inherits the peak of its parent.
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    now, peak = (float(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def _measure(name: str, config: Mapping[str, object], texts: Sequence[Input]) -> dict[str, float]:
    # From here on, the pool returns an interrupt to its caller as an exception.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPT)
    from detectors.registry import create_text  # noqa: PLC0415 - before the memory is measured

    before, _ = _resident()
    begun = time.perf_counter()
    detector = create_text(name, config)
    detector.load()
    loaded = time.perf_counter() - begun
    detector.score_many(["warm up"])
    begun, worked = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        detector.score_answers([text for text, _ in batch], [prompt for _, prompt in batch])
    wall, cpu = time.perf_counter() - begun, time.process_time() - worked
    after, peak = _resident()
    count = len(texts)
    return {
        "texts": float(count),
        "characters": float(sum(len(text) for text, _ in texts)),
        "load_seconds": loaded,
        "texts_a_second": count / wall,
        "ms_a_text": 1000 * wall / count,
        "cpu_ms_a_text": 1000 * cpu / count,
        "rss_rise_mib": after - before,
        "rss_peak_mib": peak,
    }


def cost(name: str, config: Mapping[str, object], texts: Sequence[Input]) -> dict[str, float]:
    """Return the cost of a detector for ``texts`` in batches of 32, after one text to warm up.

    ``texts_a_second`` and ``ms_a_text`` are based on elapsed time. ``cpu_ms_a_text`` is the processor time of all
    threads, which depends less on other processes. ``rss_rise_mib`` is the resident memory after scoring minus the
    resident memory before ``load()``; ``rss_peak_mib`` is the highest resident memory of the process.

    Raises DetectorError if the detector cannot be loaded, or if its process was killed, usually for lack of memory.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        # The process inherits the blocked signal: Python prints a traceback if it is interrupted while it starts.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPT)
        found = pool.submit(_measure, name, dict(config), list(texts))
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        try:
            return found.result()
        except BrokenProcessPool as error:
            raise DetectorError(
                f"the process that measured {name} on {len(texts)} texts was killed, probably for lack of memory: "
                "use a smaller --limit, or --no-cost"
            ) from error
