"""Delays of the drift detector and of other methods at the same rate of false alarms.

Windowed MMD (Gretton et al., A kernel two-sample test, JMLR 2012) compares the last 25 or 50 embeddings with the
reference at every event. River's ADWIN, KSWIN and Page-Hinkley use the distance to the reference, as the drift detector
does. The thresholds of MMD and river are calibrated to one alarm in N events without a change. The drift detector needs
no calibration: its limit is N.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.drift import PageHinkley

from bench.drift.rows import AFTER, censored_delay_row, run_length_row
from detectors.evaluate.progress import Progress, no_progress, tracked
from detectors.evaluate.readers import clinc_domains
from detectors.evaluate.studies.alarms import BEFORE, embedded, events_per_alarm, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.models.embedding import Embedder, pack, unpack
from detectors.registry import create_stream
from detectors.streams.river_monitor import make_river

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

LIMIT = 1000
REFERENCE = 200
#: Number of domains before the change, and of texts per domain.
KNOWN, TEXTS = 5, 700
#: Change → probability of the new domain, and of the first known domain; the others share the rest.
CHANGES: Mapping[str, tuple[float, float]] = {
    "switch to another domain": (1.0, 0.0),
    "20 % of another domain": (0.2, 0.16),
    "a known domain from 20 % to 60 %": (0.0, 0.6),
}
#: Function that returns the number of events from a stream's reference to the alarm, or None without an alarm.
Method = Callable[[Vectors], int | None]


def _draw(rng: np.random.Generator, domains: Sequence[Vectors], weights: Sequence[float], count: int) -> Vectors:
    which = rng.choice(len(domains), count, p=weights)
    return np.stack([domains[k][rng.integers(len(domains[k]))] for k in which])


def _stream(rng: np.random.Generator, vectors: Mapping[str, Vectors], change: str | None, length: int) -> Vectors:
    """Return a reference and ``length`` further events.

    If ``change`` is not None, the change starts after `BEFORE` of the further events.
    """
    names = rng.permutation(sorted(vectors))[: KNOWN + 1]
    domains = [vectors[name] for name in names]
    usual = [1 / KNOWN] * KNOWN + [0.0]
    if change is None:
        return _draw(rng, domains, usual, REFERENCE + length)
    new, first = CHANGES[change]
    rest = (1 - new - first) / (KNOWN - 1)
    after = _draw(rng, domains, [first, *[rest] * (KNOWN - 1), new], length - BEFORE)
    return np.concatenate([_draw(rng, domains, usual, REFERENCE + BEFORE), after])


def _drift_first(stream: Vectors, *, limit: int, tag: str) -> int | None:
    detector = create_stream("drift", {"alarm_every_events": limit, "features": []})
    alarm = first_alarm(detector, embedded(tag, (vector.astype("<f2").tobytes() for vector in stream)))
    return None if alarm is None else alarm - REFERENCE


def mmd(stream: Vectors, window: int) -> Floats:
    """Return the windowed MMD² at each event after the reference, (n,); minus infinity until the window is full."""
    reference, rest = stream[:REFERENCE], stream[REFERENCE:]
    squared = 2.0 - 2.0 * (reference @ reference.T)
    width = np.median(squared[np.triu_indices(REFERENCE, 1)])
    own = np.exp(-squared / width)
    base = (own.sum() - np.trace(own)) / (REFERENCE * (REFERENCE - 1))
    cross = np.exp(-(2.0 - 2.0 * (rest @ reference.T)) / width).mean(axis=1)
    among = np.exp(-(2.0 - 2.0 * (rest @ rest.T)) / width)
    result = np.full(len(rest), -np.inf)
    for end in range(window, len(rest) + 1):
        block = among[end - window : end, end - window : end]
        inner = (block.sum() - np.trace(block)) / (window * (window - 1))
        result[end - 1] = base + inner - 2.0 * cross[end - window : end].mean()
    return result


def distances(stream: Vectors) -> Floats:
    """Return, for each event after the reference, its mean distance to the three nearest reference embeddings."""
    similarities = stream[REFERENCE:] @ stream[:REFERENCE].T
    nearest: Floats = np.partition(similarities, -3, axis=1)[:, -3:].mean(axis=1)
    return 1.0 - nearest


def _first_above(statistic: Floats, threshold: float) -> int | None:
    above = np.flatnonzero(statistic >= threshold)
    return int(above[0]) + 1 if len(above) else None


def _threshold(nulls: Sequence[Floats], limit: int) -> float:
    """Return the threshold with one alarm per ``limit`` events; ``nulls`` has the statistics of unchanged streams."""
    low, high = 0.0, max(float(null.max()) for null in nulls)
    for _ in range(30):
        middle = (low + high) / 2
        every = events_per_alarm([_first_above(null, middle) for null in nulls], len(nulls[0]))
        low, high = (middle, high) if every < limit else (low, middle)
    return high


#: Name → function that makes a detector from a parameter, most sensitive parameter, parameter with very few alarms.
_RIVER: Mapping[str, tuple[Callable[[float], Any], float, float]] = {
    "ADWIN": (partial(make_river, "adwin"), 0.99, 1e-6),
    "KSWIN": (partial(make_river, "kswin"), 0.05, 1e-9),
    "Page-Hinkley": (
        lambda value: PageHinkley(threshold=value, delta=0.01, alpha=1.0, min_instances=30),
        0.1,
        30.0,
    ),
}
#: Number of bisections of a parameter's range, on a logarithmic scale.
_BISECTIONS = 9


def _river_first(make: Callable[[float], Any], value: float, series: Iterable[float]) -> int | None:
    detector = make(value)
    for index, one in enumerate(series, start=1):
        detector.update(one)
        if detector.drift_detected:
            return index
    return None


def _mmd_first(stream: Vectors, *, window: int, cut: float) -> int | None:
    return _first_above(mmd(stream, window), cut)


def _distance_first(stream: Vectors, *, make: Callable[[float], Any], value: float) -> int | None:
    return _river_first(make, value, distances(stream).tolist())


def _river_value(
    name: str, nulls: Sequence[Floats], limit: int, progress: Progress = no_progress
) -> tuple[float, float]:
    """Return the most sensitive parameter with at least ``limit`` events per false alarm, and this number of events."""
    make, sensitive, rare = _RIVER[name]
    every = _every(make, sensitive, nulls)
    if every >= limit:
        return sensitive, every
    found = (rare, _every(make, rare, nulls))
    for _ in tracked(progress, f"calibrating {name}", range(_BISECTIONS)):
        middle = math.sqrt(sensitive * rare)
        every = _every(make, middle, nulls)
        if every >= limit:
            rare, found = middle, (middle, every)
        else:
            sensitive = middle
    return found


def _every(make: Callable[[float], Any], value: float, nulls: Sequence[Floats]) -> float:
    """Return the mean number of events per alarm on streams without a change."""
    return events_per_alarm([_river_first(make, value, null.tolist()) for null in nulls], len(nulls[0]))


def _domain_vectors(root: Path, progress: Progress) -> dict[str, Vectors]:
    embedder, rng = Embedder(threads=1), random.Random(0)
    embedder.load()
    chosen = {name: rng.sample(own, min(TEXTS, len(own))) for name, own in sorted(clinc_domains(root).items())}
    return {
        name: np.stack([unpack(pack(vector)) for vector in embedder.embed_many(own)])
        for name, own in tracked(progress, "embedding domains", chosen.items())
    }


def _methods(study: StudyContext, nulls: Sequence[Vectors]) -> tuple[dict[str, Method], list[Row]]:
    """Return the calibrated methods, and a table row per method with its mean number of events per false alarm."""
    methods: dict[str, Method] = {"drift": partial(_drift_first, limit=LIMIT, tag=str(study.seed))}
    for window in (25, 50):
        statistics = [mmd(null, window) for null in tracked(study.progress, f"MMD, window of {window}", nulls)]
        methods[f"MMD, window of {window}"] = partial(_mmd_first, window=window, cut=_threshold(statistics, LIMIT))
    rows = [
        run_length_row(f"no change: {name}", _alarms(study, f"no change: {name}", first, nulls), 2 * LIMIT)
        for name, first in methods.items()
    ]
    series = [distances(null) for null in nulls]
    for name, (make, _, _) in _RIVER.items():
        value, every = _river_value(name, series, LIMIT, study.progress)
        methods[name] = partial(_distance_first, make=make, value=value)
        data = f"no change: {name} at {value:g}"
        rows.append({"detector": "drift", "data": data, "run_length": every, "runs": study.runs})
    return methods, rows


def _alarms(study: StudyContext, what: str, first: Method, streams: Sequence[Vectors]) -> list[int | None]:
    return [first(stream) for stream in tracked(study.progress, what, streams)]


def drift_delay(study: StudyContext) -> list[Row]:
    """Return the delays of each method for each change; runs with an alarm before the change are counted separately."""
    vectors = _domain_vectors(study.data, study.progress)
    rng = np.random.default_rng([study.seed, 0])
    nulls = [_stream(rng, vectors, None, 2 * LIMIT) for _ in range(study.runs)]
    methods, rows = _methods(study, nulls)
    for number, change in enumerate(CHANGES, start=1):
        rng = np.random.default_rng([study.seed, number])
        streams = [_stream(rng, vectors, change, BEFORE + AFTER) for _ in range(study.runs)]
        for name, first in methods.items():
            data = f"{change}: {name}"
            rows.append(censored_delay_row(data, _alarms(study, data, first, streams)))
    return rows
