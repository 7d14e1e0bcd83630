"""How soon a change of topics is told, beside what others use, each tuned to the same rate of false alarms.

Windowed MMD (Gretton et al., A kernel two-sample test, JMLR 2012) compares the last 25 or 50 embeddings with the reference at
every event; river's ADWIN, KSWIN and Page-Hinkley read the distance to the reference that drift reads. Their thresholds are
chosen on streams without a change, so that they alarm once in N events; drift needs no such choice.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import drift as river_drift

from detectors.base import Observation
from detectors.registry import create_stream

__all__ = ["AFTER", "BEFORE", "CHANGES", "compare", "delay_row", "domain_vectors", "rare_row"]

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Row = dict[str, Any]

REFERENCE, BEFORE, AFTER = 200, 300, 600
KNOWN = 5
#: What the change is: chance of the new domain, of the first known domain, and of each other known one.
CHANGES: Mapping[str, tuple[float, float]] = {
    "switch to another domain": (1.0, 0.0),
    "20 % of another domain": (0.2, 0.16),
    "a known domain from 20 % to 60 %": (0.0, 0.6),
}
#: When a method alarms, in events after the reference.
Alarms = Callable[[Vectors], int | None]


def _draw(rng: np.random.Generator, domains: Sequence[Vectors], chances: Sequence[float], count: int) -> Vectors:
    which = rng.choice(len(domains), count, p=chances)
    return np.stack([domains[k][rng.integers(len(domains[k]))] for k in which])


def _stream(rng: np.random.Generator, vectors: Mapping[str, Vectors], change: str | None, length: int) -> Vectors:
    """Return a reference, then ``length`` events, changed after `BEFORE` of them where there is a change."""
    names = rng.permutation(sorted(vectors))[: KNOWN + 1]
    domains = [vectors[name] for name in names]
    usual = [1 / KNOWN] * KNOWN + [0.0]
    if change is None:
        return _draw(rng, domains, usual, REFERENCE + length)
    new, first = CHANGES[change]
    rest = (1 - new - first) / (KNOWN - 1)
    after = _draw(rng, domains, [first, *[rest] * (KNOWN - 1), new], length - BEFORE)
    return np.concatenate([_draw(rng, domains, usual, REFERENCE + BEFORE), after])


def drift_alarm(limit: int, tag: str) -> Alarms:
    """Return when the drift detector alarms: by events after the reference."""

    def first(stream: Vectors) -> int | None:
        detector = create_stream("drift", {"alarm_every_events": limit, "features": []})
        for index, vector in enumerate(stream):
            data = vector.astype("<f2").tobytes()
            finding = detector.update_many(
                [Observation(id=f"{tag}{index}", time=float(index), features={}, embedding=data)]
            )
            if finding is not None and finding.alarm:
                return index + 1 - REFERENCE
        return None

    return first


def mmd(stream: Vectors, window: int) -> Floats:
    """Return windowed MMD² of each event after the reference, (n,), minus infinity before the window is full."""
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


def distances(stream: Vectors, neighbours: int = 3) -> Floats:
    """Return the distance to the reference of each event after it."""
    similarities = stream[REFERENCE:] @ stream[:REFERENCE].T
    nearest: Floats = np.partition(similarities, -neighbours, axis=1)[:, -neighbours:].mean(axis=1)
    return 1.0 - nearest


def _first_above(statistic: Floats, threshold: float) -> int | None:
    above = np.flatnonzero(statistic >= threshold)
    return int(above[0]) + 1 if len(above) else None


def _threshold(nulls: Sequence[Floats], limit: int) -> float:
    """Return the threshold at which these statistics alarm once in ``limit`` events: events watched over alarms."""
    low, high = 0.0, max(float(null.max()) for null in nulls)
    for _ in range(30):
        middle = (low + high) / 2
        lengths = [_first_above(null, middle) for null in nulls]
        watched = sum(len(null) if length is None else length for null, length in zip(nulls, lengths, strict=True))
        alarms = sum(length is not None for length in lengths)
        low, high = (middle, high) if watched < limit * max(1, alarms) else (low, middle)
    return high


def _adwin(delta: float) -> Any:
    return river_drift.ADWIN(delta=delta, clock=1)  # type: ignore[no-untyped-call]  # a Cython class


#: By name: the detector for a parameter, its most eager value, and one that hardly ever alarms.
_RIVER: Mapping[str, tuple[Callable[[float], Any], float, float]] = {
    "ADWIN": (_adwin, 0.99, 1e-6),
    "KSWIN": (lambda value: river_drift.KSWIN(alpha=value, seed=0), 0.05, 1e-9),
    "Page-Hinkley": (
        lambda value: river_drift.PageHinkley(threshold=value, delta=0.01, alpha=1.0, min_instances=30),
        0.1,
        30.0,
    ),
}
#: Halvings of the range of a parameter, on a logarithmic scale.
_HALVINGS = 9


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


def _river_value(name: str, nulls: Sequence[Floats], limit: int) -> tuple[float, float]:
    """Return the most eager parameter whose false alarms are as rare as one in ``limit`` events, and how rare they are."""
    make, eager, rare = _RIVER[name]
    every = _every(make, eager, nulls)
    if every >= limit:
        return eager, every
    found = (rare, _every(make, rare, nulls))
    for _ in range(_HALVINGS):
        middle = math.sqrt(eager * rare)
        every = _every(make, middle, nulls)
        if every >= limit:
            rare, found = middle, (middle, every)
        else:
            eager = middle
    return found


def _every(make: Callable[[float], Any], value: float, nulls: Sequence[Floats]) -> float:
    """Return how many events pass for one alarm on these streams without a change."""
    lengths = [_river_first(make, value, null.tolist()) for null in nulls]
    watched = sum(len(null) if length is None else length for null, length in zip(nulls, lengths, strict=True))
    return watched / max(1, sum(length is not None for length in lengths))


def domain_vectors(root: Path, texts: int = 700) -> dict[str, NDArray[np.float32]]:
    """Return the packed embeddings of CLINC's texts by domain, at most ``texts`` each."""
    from detectors.models.embedding import Embedder, pack, unpack  # noqa: PLC0415 - torch takes seconds to import
    from detectors.train.datasets import clinc_domains  # noqa: PLC0415 - as above

    embedder, rng = Embedder(threads=1), random.Random(0)  # noqa: S311 - a reproducible sample
    embedder.load()
    chosen = {name: rng.sample(own, min(texts, len(own))) for name, own in sorted(clinc_domains(root).items())}
    return {
        name: np.stack([unpack(pack(vector)) for vector in embedder.embed_many(own)]) for name, own in chosen.items()
    }


def compare(vectors: Mapping[str, Vectors], limit: int, runs: int, seed: int) -> list[Row]:
    """Return delays of each method on each change; runs that alarmed before the change are counted apart.

    Parameters
    ----------
    vectors
        By domain, unit vectors, (n, d).
    limit
        N: one false alarm in so many events.
    """
    rng = np.random.default_rng([seed, 0])
    nulls = [_stream(rng, vectors, None, 2 * limit) for _ in range(runs)]
    alarms: dict[str, Alarms] = {"drift": drift_alarm(limit, f"{seed}-")}
    rows: list[Row] = [rare_row("no change: drift", [alarms["drift"](null) for null in nulls], 2 * limit)]
    for window in (25, 50):
        name = f"MMD, window of {window}"
        cut = _threshold([mmd(null, window) for null in nulls], limit)
        alarms[name] = partial(_mmd_first, window=window, cut=cut)
        rows.append(rare_row(f"no change: {name}", [alarms[name](null) for null in nulls], 2 * limit))
    series = [distances(null) for null in nulls]
    for name, (make, _, _) in _RIVER.items():
        value, every = _river_value(name, series, limit)
        alarms[name] = partial(_distance_first, make=make, value=value)
        rows.append({"detector": "drift", "data": f"no change: {name} at {value:g}", "run_length": every, "runs": runs})
    for number, change in enumerate(CHANGES, start=1):
        rng = np.random.default_rng([seed, number])
        streams = [_stream(rng, vectors, change, BEFORE + AFTER) for _ in range(runs)]
        rows += [
            delay_row(f"{change}: {name}", [first(stream) for stream in streams]) for name, first in alarms.items()
        ]
    return rows


def rare_row(data: str, lengths: Sequence[int | None], longest: int) -> Row:
    """Return a row of streams without a change: events watched for an alarm, from the event of each alarm; None is none in ``longest``."""
    watched = sum(longest if length is None else length for length in lengths)
    every = watched / max(1, sum(length is not None for length in lengths))
    return {"detector": "drift", "data": data, "run_length": every, "runs": len(lengths)}


def delay_row(data: str, lengths: Sequence[int | None]) -> Row:
    """Return a row of streams that change after `BEFORE` events, from the event of each alarm; None is none in `AFTER` more."""
    early = sum(length is not None and length <= BEFORE for length in lengths)
    delays = [AFTER if length is None else length - BEFORE for length in lengths if length is None or length > BEFORE]
    return {
        "detector": "drift",
        "data": data,
        "runs": len(lengths),
        "delay_median": float(np.median(delays)),
        "delay_p90": float(np.quantile(delays, 0.9)),
        "delay_mean": float(np.mean(delays)),
        "missed": sum(length is None for length in lengths),
        "too_early": early,
    }
