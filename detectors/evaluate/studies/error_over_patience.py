"""The study ``patience``: which of many streams have changed, with a bound on the error over patience.

Over unlimited time, any procedure that can alarm has a false alarm on some stream, so no error rate below one can be
guaranteed. But the error over patience can be bounded: whenever the procedure is stopped, the expected share of false
discoveries is at most 1/N of the expected number of events so far (Dandapanthula and Ramdas, arXiv 2501.04130). The
e-d-BH procedure (e-Benjamini-Hochberg on e-detectors) has this bound even if the streams are dependent.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.evaluate.studies.in_control import SCORES, Exchangeable
from detectors.evaluate.studies.run_length import REFERENCE, BatchMonitor
from detectors.streams.monitor import Budget

__all__ = ["e_d_bh", "error_over_patience"]


def e_d_bh(statistics: Mapping[str, float], every: float) -> list[str]:
    """Return the names of the streams that have changed, ordered by statistic (highest first), then by name.

    Parameters
    ----------
    statistics
        Stream → current `Finding.statistic` of its detector. The limit of the detector must be at least
        ``every * len(statistics)``, because the statistic is capped near the limit.
    every
        The number N: the expected share of wrong streams is at most 1/N of the expected number of events so far.

    Raises
    ------
    ValueError
        ``every`` is not above zero.

    Examples
    --------
    >>> e_d_bh({"a": 450.0, "b": 3.0, "c": 160.0, "d": 7.0}, every=100)
    ['a']
    >>> e_d_bh({"a": 450.0, "b": 3.0, "c": 210.0, "d": 7.0}, every=100)
    ['a', 'c']
    """
    if not every > 0:
        raise ValueError(f"a false discovery in {every} events: use a number above 0, such as 10000")
    ordered = sorted(statistics, key=lambda name: (-statistics[name], name))
    needed = every * len(ordered)
    enough = [rank for rank, name in enumerate(ordered, start=1) if statistics[name] * rank >= needed]
    return ordered[: max(enough, default=0)]


class Step(NamedTuple):
    """State of a procedure after ``events`` events: share of wrong discoveries, share of changed streams found."""

    events: int
    wrong: float
    found: float


def error_over_patience(study: StudyContext, *, streams: int = 1000, changed: int = 50, limit: int = 1000) -> list[Row]:
    """Return, per procedure and stopping time, the shares of wrong and found streams and the error over patience.

    In each round, ``changed`` of the ``streams`` shift by two standard deviations, ``limit // 2`` events after their
    reference. The stopping times are the first discovery, ``limit // 2`` events and ``limit`` events.
    Wrong: the share of reported streams without a shift. Found: the share of shifted streams that are reported.
    ``error_over_patience`` is the mean share of wrong streams, divided by the mean number of events and multiplied by
    ``limit``; its bound is 1.
    """
    histories: dict[str, list[list[Step]]] = {"e-d-BH": [], "each stream by itself": []}
    for number in tracked(study.progress, f"rounds of {streams} streams", range(study.runs)):
        rng = np.random.default_rng([study.seed, number])
        for name, history in _round(rng, streams, changed, limit).items():
            histories[name].append(history)
    data = f"{streams} streams, {changed} change, N = {limit}"
    return [
        _row(f"{data}: {name}", stop, history, limit)
        for name, history in histories.items()
        for stop in ("first", "half", "end")
    ]


def _round(rng: np.random.Generator, streams: int, changed: int, limit: int) -> dict[str, list[Step]]:
    monitors = BatchMonitor(Budget(limit=float(limit * streams), daily=False), streams)
    stream, every = Exchangeable(), np.arange(streams)
    reference = [stream.scores(rng, number, every) for number in range(REFERENCE)]
    monitors.begin(np.stack(reference, axis=1), np.zeros(REFERENCE))
    shift = np.zeros((streams, SCORES))
    histories: dict[str, list[Step]] = {"e-d-BH": [], "each stream by itself": []}
    for number in range(1, limit + 1):
        right = changed if number > limit // 2 else 0
        shift[:changed, 0] = 2.0 if right else 0.0
        monitors.update(stream.scores(rng, number, every) + shift, 0, rng.random(streams))
        by_name = {f"{index:06d}": float(value) for index, value in enumerate(monitors.statistic)}
        jointly = np.array([int(name) for name in e_d_bh(by_name, limit)], dtype=np.int64)
        singly = np.flatnonzero(monitors.statistic >= limit)
        for history, found in zip(histories.values(), (jointly, singly), strict=True):
            history.append(_step(number, found, right))
    return histories


def _step(number: int, found: NDArray[np.int64], changed: int) -> Step:
    right = int((found < changed).sum())
    return Step(number, (len(found) - right) / max(1, len(found)), right / max(1, changed))


def _row(data: str, stop: str, rounds: list[list[Step]], limit: int) -> Row:
    stopped = [_stopped(history, stop) for history in rounds]
    events, wrong, found = np.mean(stopped, axis=0).tolist()
    where = {"first": "at the first discovery", "half": "just before the change", "end": "at the end"}[stop]
    return {
        "detector": "drift",
        "data": f"{data}, {where}",
        "runs": len(rounds),
        "events": events,
        "wrong": wrong,
        "found": found,
        "error_over_patience": wrong / events * limit,
    }


def _stopped(history: list[Step], stop: str) -> Step:
    if stop == "first":
        return next((step for step in history if step.wrong + step.found > 0), history[-1])
    return history[len(history) // 2 - 1] if stop == "half" else history[-1]
