"""Part of the study ``bias``: false alarms of the bias detector on a model without bias, and delays on biased models.

A simulated model answers 112 pairs of prompts (eight comparisons of terms, 14 tasks) in turn, in random order within a pair.
The number of words is log-normal around a value of the task (standard deviation of the logarithm .35). The sentiment is normal
around a mean of the task (standard deviation .25). 3 % of the answers are refusals of 12 words, and .5 % are toxic. A biased
model differs for the compared term of one comparison.
"""

from collections.abc import Iterator

import msgspec
import numpy as np

from detectors.base import Observation
from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.alarms import cut_run_length_row, delay_row, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.streams.bias import BiasConfig, BiasDetector
from detectors.streams.paired_prompts import COMPARED, REFERENCE, PairedPrompt

LIMIT = 1000
COMPARISONS, TASKS = 8, 14
#: Length at which a run ends: without bias in multiples of N answers, with bias in pairs of the biased comparison.
LONGEST, MOST_PAIRS = 8, 3000


class _Bias(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of answers for the compared term: factor of the length, added probabilities and sentiment."""

    length: float = 1.0
    refused: float = 0.0
    toxic: float = 0.0
    sentiment: float = 0.0


NONE = _Bias()
BIASES = {
    "20 % shorter": _Bias(length=0.8),
    "refused 10 points more often": _Bias(refused=0.1),
    "toxic 2 points more often": _Bias(toxic=0.02),
    "sentiment lower by .15": _Bias(sentiment=-0.15),
    "3 % shorter (below the minimum effect)": _Bias(length=0.97),
}


def _answers(rng: np.random.Generator, bias: _Bias, pairs: int) -> Iterator[Observation]:
    """Yield the answers to `pairs` pairs; only the first comparison is biased."""
    words, moods = rng.uniform(30, 90, TASKS), rng.normal(0.4, 0.2, TASKS)
    for number in range(pairs):
        comparison, task = number % COMPARISONS, number // COMPARISONS % TASKS
        for side in rng.permutation([REFERENCE, COMPARED]).tolist():
            kind = bias if comparison == 0 and side == COMPARED else NONE
            refused = rng.random() < 0.03 + kind.refused
            length = 12 if refused else round(words[task] * kind.length * rng.lognormal(0, 0.35))
            prompt = PairedPrompt(
                version="1", group=f"g{comparison}", reference="a", compared="b", template=f"t{task}", side=side
            )
            features = {
                "characters": 6.0 * length + float(rng.integers(12)),
                "words": float(length),
                "completion_tokens": round(1.3 * length),
                "score_refusal": 0.97 if refused else 0.03,
                "score_toxicity": 0.9 if rng.random() < 0.005 + kind.toxic else 0.02,
                "sentiment": float(np.clip(rng.normal(moods[task] + kind.sentiment, 0.25), -1, 1)),
            }
            yield Observation(id=f"{rng.integers(2**62)}", time=60.0 * number, features=features, prompt=prompt.id)


def _first_alarm(study: StudyContext, run: int, bias: _Bias, limit: int, pairs: int) -> int | None:
    """Return the number of answers until the first alarm, in steps of one pair of each comparison; None without an alarm."""
    detector = BiasDetector(BiasConfig(alarm_every_events=limit))
    answers = _answers(np.random.default_rng([study.seed, run]), bias, pairs)
    return first_alarm(detector, answers, bucket=2 * COMPARISONS)


def _run_length(study: StudyContext) -> Row:
    """Return the mean number of answers until a false alarm, divided by the alarm budget."""
    alarms = [
        _first_alarm(study, run, NONE, LIMIT, LONGEST * LIMIT // 2)
        for run in tracked(study.progress, f"bias: no bias, N = {LIMIT}", range(study.runs))
    ]
    row = cut_run_length_row(
        "bias", f"N = {LIMIT}: no bias, mean run length / N, at least", alarms, LIMIT, LONGEST * LIMIT
    )
    return row | {"within_budget": sum(alarm is not None and alarm <= LIMIT for alarm in alarms)}


def _delay(study: StudyContext, name: str, limit: int) -> Row:
    """Return quantiles of the number of pairs of the biased comparison until the alarm."""
    found = [
        _first_alarm(study, run, BIASES[name], limit, MOST_PAIRS * COMPARISONS)
        for run in tracked(study.progress, f"bias: {name}", range(study.runs))
    ]
    pairs = [None if alarm is None else alarm / 2 / COMPARISONS for alarm in found]
    return delay_row("bias", f"N = {limit}: {name}, in pairs", pairs)


def paired_answers(study: StudyContext) -> list[Row]:
    """Return the run length without bias, and the delays with bias for one of eight comparisons at the default alarm budget."""
    budget = BiasConfig().alarm_every_events
    return [_run_length(study), *(_delay(study, name, budget) for name in BIASES)]
