"""How often the sentinel detector alarms without cause, and how soon with one.

Eight prompts are asked in turn of a simulated model, which answers a prompt always alike, or in one of four ways (``loose``). Its
answers are points on the sphere of the packed embedding; another model answers with other points and other lengths.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from detectors.base import Observation
from detectors.streams.sentinel import SentinelConfig, SentinelDetector

__all__ = ["sentinel"]

Row = dict[str, Any]
PROMPTS = 8
DIMENSIONS = 96
LONGEST = 8  # times N: where a run without an alarm is cut off


class _Model:
    """Answers of one model: `moved` prompts of eight are answered otherwise than by model 0, `loose` ones in four ways."""

    def __init__(self, rng: np.random.Generator, *, loose: int, moved: int = 0) -> None:
        self._rng = rng
        self._loose = loose
        self._moved = moved
        self._asked = 0

    def answers(self, count: int) -> Iterator[Observation]:
        for _ in range(count):
            prompt = self._asked % PROMPTS
            way = int(self._rng.integers(4)) if prompt < self._loose else 0
            # The last prompts move first: those that are loose are the harder ones to see it in.
            seed = [prompt, way, int(prompt >= PROMPTS - self._moved)]
            vector = np.random.default_rng(seed).normal(size=DIMENSIONS)
            words = float(20 + np.random.default_rng([*seed, 1]).integers(12))
            self._asked += 1
            yield Observation(
                id=f"{self._rng.integers(2**62)}",
                time=float(self._asked),
                features={"characters": 5 * words, "completion_tokens": words, "score_refusal": 0.05},
                embedding=(vector / np.linalg.norm(vector)).astype("<f2").tobytes(),
                prompt=f"p{prompt}",
            )


def _until_alarm(detector: SentinelDetector, answers: Iterator[Observation]) -> int | None:
    for number, answer in enumerate(answers, 1):
        finding = detector.update_many([answer])
        if finding is not None and finding.alarm:
            return number
    return None


def _run_length(limit: int, loose: int, runs: int, seed: int) -> tuple[float, int]:
    """Return the mean answers to a false alarm over `limit`, at least (cut-off runs count as they are), and how many were cut off."""
    lengths: list[int] = []
    cut = 0
    for run in range(runs):
        model = _Model(np.random.default_rng([seed, run]), loose=loose)
        found = _until_alarm(_detector(limit), model.answers(LONGEST * limit))
        cut += found is None
        lengths.append(found or LONGEST * limit)
    return float(np.mean(lengths)) / limit, cut


def _delays(limit: int, moved: int, loose: int, runs: int, seed: int) -> tuple[float, float, int]:
    """Return median and 90th percentile of the answers from a change to its alarm, and how many of `runs` missed it in 400 answers."""
    found = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        detector = _detector(limit)
        if _until_alarm(detector, _Model(rng, loose=loose).answers(480)) is None:
            found.append(_until_alarm(detector, _Model(rng, loose=loose, moved=moved).answers(400)))
    told = [delay for delay in found if delay is not None]
    median, high = np.percentile([*map(float, told)] or [np.nan], [50, 90]).tolist()
    return median, high, len(found) - len(told)


def _detector(limit: int) -> SentinelDetector:
    return SentinelDetector(SentinelConfig(alarm_every_events=limit))


def sentinel(runs: int, seed: int, limit: int = 1000) -> list[Row]:
    """Return run lengths without a change (at least: a run is cut after 8 N) and delays of changes after 480 answers.

    ``limit`` is N, the budget: answers between two false alarms.
    """
    rows: list[Row] = []
    for loose in (0, 3):
        length, cut = _run_length(limit, loose, runs, seed)
        data = f"N = {limit}: no change, {loose} of {PROMPTS} prompts loose, mean run length / N, at least"
        rows.append({"detector": "sentinel", "data": data, "runs": runs, "run_length": length, "cut": cut})
    for moved, loose in ((8, 0), (8, 3), (4, 0), (2, 0), (1, 0)):
        median, high, missed = _delays(limit, moved, loose, runs, seed)
        data = f"N = {limit}: {moved} of {PROMPTS} answers change, {loose} loose"
        row: Row = {"detector": "sentinel", "data": data, "runs": runs, "missed": missed}
        rows.append(row | {"delay_median": median, "delay_p90": high})
    return rows
