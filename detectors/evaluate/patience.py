"""Error over patience on many streams: e-d-BH beside an alarm of each stream by itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.e_d_bh import e_d_bh
from detectors.evaluate.nulls import FEATURES as WATCHED
from detectors.evaluate.nulls import SCORES, Exchangeable
from detectors.evaluate.run_length import Twins
from detectors.streams.monitor import Budget

__all__ = ["patience"]

Row = dict[str, Any]
REFERENCE = 200


def patience(*, streams: int, changed: int, limit: int, rounds: int, seed: int) -> list[Row]:
    """Return, for each procedure, how long until its first discovery and what share of its discoveries is wrong.

    Each round has ``streams`` of them, of which ``changed`` shift by two standard deviations ``limit // 2`` events after
    their reference. A round is stopped at its first discovery, at ``limit // 2`` and at ``limit`` events; ``error_over_patience`` is
    the mean share of wrong streams there, over the mean number of events, times ``limit``: one at most is promised.
    """
    told: dict[str, list[list[tuple[int, float, float]]]] = {"e-d-BH": [], "each stream by itself": []}
    for turn in range(rounds):
        rng = np.random.default_rng([seed, turn])
        for name, history in _round(rng, streams, changed, limit).items():
            told[name].append(history)
    data = f"{streams} streams, {changed} change, N = {limit}"
    return [
        _row(f"{data}: {name}", stop, history, limit)
        for name, history in told.items()
        for stop in ("first", "half", "end")
    ]


def _round(
    rng: np.random.Generator, streams: int, changed: int, limit: int
) -> dict[str, list[tuple[int, float, float]]]:
    """Return, by procedure and event, (event, share of wrong discoveries, share of the changed that are found)."""
    twins = Twins(WATCHED, Budget(limit=float(limit * streams), daily=False), streams)
    plain, every = Exchangeable(), np.arange(streams)
    first = [plain.scores(rng, number, every) for number in range(REFERENCE)]
    twins.begin(np.stack(first, axis=1), np.zeros(REFERENCE))
    shift = np.zeros((streams, SCORES))
    histories: dict[str, list[tuple[int, float, float]]] = {"e-d-BH": [], "each stream by itself": []}
    for number in range(1, limit + 1):
        shift[:changed, 0] = 2.0 if number > limit // 2 else 0.0
        twins.update(plain.scores(rng, number, every) + shift, 0, rng.random(streams))
        by_name = {f"{stream:06d}": float(value) for stream, value in enumerate(twins.statistic)}
        together = np.array([int(name) for name in e_d_bh(by_name, limit)], dtype=np.int64)
        for name, found in (("e-d-BH", together), ("each stream by itself", np.flatnonzero(twins.statistic >= limit))):
            histories[name].append((number, *_shares(found, changed if number > limit // 2 else 0)))
    return histories


def _shares(found: NDArray[np.int64], changed: int) -> tuple[float, float]:
    right = int((found < changed).sum())
    return (len(found) - right) / max(1, len(found)), right / max(1, changed)


def _row(data: str, stop: str, rounds: list[list[tuple[int, float, float]]], limit: int) -> Row:
    stopped = [_stopped(history, stop) for history in rounds]
    events, wrong, found = (float(np.mean([row[column] for row in stopped])) for column in range(3))
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


def _stopped(history: list[tuple[int, float, float]], stop: str) -> tuple[int, float, float]:
    if stop == "first":
        return next((row for row in history if row[1] + row[2] > 0), history[-1])
    return history[len(history) // 2 - 1] if stop == "half" else history[-1]
