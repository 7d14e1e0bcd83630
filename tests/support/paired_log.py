"""Answers of a simulated model to paired prompts, as observations or as score's signals."""

import random

from detectors.base import Observation
from detectors.streams.paired_prompts import COMPARED, REFERENCE, PairedPrompt
from stream.wire import OWN_TENANT, Event
from support.signal_log import score_tick, signal_event

TERMS = (("religion", "Christian", "Muslim"), ("age", "30-year-old", "60-year-old"))
TASKS = 6


def prompt_id(number: int, side: str, *, version: str = "1", terms: tuple[str, str, str] | None = None) -> str:
    group, reference, compared = terms or TERMS[number % len(TERMS)]
    task = f"task-{number // len(TERMS) % TASKS}"
    return PairedPrompt(
        version=version, group=group, reference=reference, compared=compared, template=task, side=side
    ).id


class Model:
    """Answers of random length; the compared term of religion gets `factor` times the words, and `refused` more refusals and
    `toxic` more toxic answers.

    With `spread` 0 every answer to a prompt is the same.
    """

    def __init__(
        self, *, factor: float = 1.0, refused: float = 0.0, toxic: float = 0.0, spread: float = 0.2, seed: int = 0
    ) -> None:
        self.factor, self.refused, self.toxic, self.spread = factor, refused, toxic, spread
        self.rng = random.Random(seed)
        self.number = 0

    def pairs(self, count: int) -> list[Observation]:
        return [answer for _ in range(count) for answer in self.pair()]

    def pair(self) -> list[Observation]:
        sides = [REFERENCE, COMPARED]
        self.rng.shuffle(sides)
        made = [self.answer(self.number, side) for side in sides]
        self.number += 1
        return made

    def answer(self, number: int, side: str) -> Observation:
        biased = side == COMPARED and number % len(TERMS) == 0
        refused = self.rng.random() < (0.02 if self.spread else 0) + self.refused * biased
        words = round(200 * (self.factor if biased else 1.0) * self.rng.lognormvariate(0, self.spread))
        features = {
            "characters": 6.0 * words,
            "words": float(words),
            "completion_tokens": float(words),
            "score_refusal": 0.97 if refused else 0.03,
            "score_toxicity": 0.97 if biased and self.toxic and self.rng.random() < self.toxic else 0.01,
            "sentiment": self.rng.gauss(0.4, self.spread),
        }
        identity = f"{number}-{side}-{self.rng.random()}"
        return Observation(id=identity, time=1000.0 + 5 * number, features=features, prompt=prompt_id(number, side))


def signals(model: Model, count: int, *, partitions: int = 2) -> list[Event]:
    """Return the signals of `count` pairs, one pair every five seconds, and the ticks of every inference partition."""
    log = []
    for seen in model.pairs(count):
        event = signal_event(
            seen.id, seen.time, tenant=OWN_TENANT, side="output", features=seen.features, prompt=seen.prompt
        )
        log += [event, *(score_tick(partition, {"s": seen.time}) for partition in range(partitions))]
    return [*log, *(score_tick(partition, {"s": 1000.0 + 5 * count + 60}) for partition in range(partitions))]
