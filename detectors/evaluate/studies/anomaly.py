"""The study ``anomaly``: delays after changes of latency, tokens and errors, and false alarms without a change."""

from collections.abc import Iterator, Sequence

import numpy as np

from detectors.base import Observation
from detectors.evaluate.studies.alarms import delays_and_false_alarms
from detectors.evaluate.studies.context import Row, StudyContext

__all__ = ["anomaly"]

#: Factor of the latency, factor of the number of tokens, share of errors.
Kind = tuple[float, float, float]
CHANGES: dict[str, Kind] = {
    "latency three times as long": (3.0, 1.0, 0.01),
    "latency half as long again": (1.5, 1.0, 0.01),
    "answers of three times as many tokens": (1.0, 3.0, 0.01),
    "answers of half as many tokens": (1.0, 0.5, 0.01),
    "one in three fails": (1.0, 1.0, 0.33),
    "one in ten fails": (1.0, 1.0, 0.1),
}
USUAL: Kind = (1.0, 1.0, 0.01)


def _answers(seed: Sequence[int], kinds: Sequence[Kind]) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for index, (latency, tokens, errors) in enumerate(kinds):
        features = {
            "latency_seconds": float(rng.lognormal(0, 0.5)) * latency,
            "error": float(rng.random() < errors),
            "completion_tokens": float(rng.integers(5, 100)) * tokens,
        }
        yield Observation(id="-".join(map(str, (*seed, index))), time=float(index), features=features)


def anomaly(study: StudyContext) -> list[Row]:
    """Return the delays after each change, and, without a change, the ratio of mean run length to alarm budget."""
    return delays_and_false_alarms(study, "anomaly", USUAL, CHANGES, _answers)
