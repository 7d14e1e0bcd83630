"""The study ``sentinel``: false alarms of the sentinel detector without a change, and delays after a change.

A simulated model answers eight prompts in turn. For ``varying`` of these prompts, the model returns one of four answers
at random. For each other prompt, the model always returns the same answer. An answer is a random unit vector (its
embedding) and a length. The answers of a changed model have other vectors and lengths.
"""

from collections.abc import Iterator

import numpy as np

from detectors.base import Observation
from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.alarms import cut_run_length_row, delay_row, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.streams.sentinel import SentinelConfig, SentinelDetector

LIMIT = 1000
PROMPTS = 8
DIMENSIONS = 96
#: Length, in multiples of N, at which a run without an alarm ends.
LONGEST = 8
#: Numbers of answers before and after a change.
BEFORE, AFTER = 480, 400


class _Model:
    """A simulated model; its answers to ``changed`` of the eight prompts differ from those of an unchanged model."""

    def __init__(self, rng: np.random.Generator, *, varying: int, changed: int = 0) -> None:
        self._rng, self._varying, self._changed = rng, varying, changed
        self._count = 0

    def answers(self, count: int) -> Iterator[Observation]:
        for _ in range(count):
            prompt = self._count % PROMPTS
            variant = int(self._rng.integers(4)) if prompt < self._varying else 0
            # The last prompts change, because changes are harder to detect in the first ones, whose answers vary.
            seed = [prompt, variant, int(prompt >= PROMPTS - self._changed)]
            vector = np.random.default_rng(seed).normal(size=DIMENSIONS)
            words = float(20 + np.random.default_rng([*seed, 1]).integers(12))
            self._count += 1
            yield Observation(
                id=f"{self._rng.integers(2**62)}",
                time=float(self._count),
                features={"characters": 5 * words, "completion_tokens": words, "score_refusal": 0.05},
                embedding=(vector / np.linalg.norm(vector)).astype("<f2").tobytes(),
                prompt=f"p{prompt}",
            )


def _detector() -> SentinelDetector:
    return SentinelDetector(SentinelConfig(alarm_every_events=LIMIT))


def _false_alarms(study: StudyContext, varying: int) -> Row:
    """Return the mean number of answers until a false alarm, divided by the alarm budget."""
    alarms = [
        first_alarm(
            _detector(), _Model(np.random.default_rng([study.seed, run]), varying=varying).answers(LONGEST * LIMIT)
        )
        for run in tracked(study.progress, "sentinel: no change", range(study.runs))
    ]
    data = f"N = {LIMIT}: no change, {varying} of {PROMPTS} prompts loose, mean run length / N, at least"
    return cut_run_length_row("sentinel", data, alarms, LIMIT, LONGEST * LIMIT)


def _delays(study: StudyContext, changed: int, varying: int) -> Row:
    """Return quantiles of the number of answers from a change to the alarm."""
    delays: list[int | None] = []
    for run in tracked(study.progress, f"sentinel: {changed} of {PROMPTS} answers change", range(study.runs)):
        rng, detector = np.random.default_rng([study.seed, run]), _detector()
        early = first_alarm(detector, _Model(rng, varying=varying).answers(BEFORE))
        after = _Model(rng, varying=varying, changed=changed).answers(AFTER)
        delays.append(first_alarm(detector, after) if early is None else 0)
    return delay_row("sentinel", f"N = {LIMIT}: {changed} of {PROMPTS} answers change, {varying} loose", delays)


def sentinel(study: StudyContext) -> list[Row]:
    """Return run lengths without a change, and delays after changes of some or all answers."""
    return [
        *(_false_alarms(study, varying) for varying in (0, 3)),
        *(_delays(study, changed, varying) for changed, varying in ((8, 0), (8, 3), (4, 0), (2, 0), (1, 0))),
    ]
