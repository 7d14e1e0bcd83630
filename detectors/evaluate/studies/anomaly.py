"""The study ``anomaly``: delays after changes of latency, tokens and errors, and false alarms without a change."""

from collections.abc import Iterator, Sequence

import numpy as np

from detectors.base import Observation
from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.alarms import delay_row, events_per_alarm, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.registry import create_stream

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
BEFORE, AFTER = 300, 400
LIMIT, REFERENCE = 1000, 100


def _answers(seed: Sequence[int], parts: Sequence[tuple[Kind, int]]) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, count in parts for _ in range(count)]
    for index, (latency, tokens, errors) in enumerate(kinds):
        features = {
            "latency_seconds": float(rng.lognormal(0, 0.5)) * latency,
            "error": float(rng.random() < errors),
            "completion_tokens": float(rng.integers(5, 100)) * tokens,
        }
        yield Observation(id="-".join(map(str, (*seed, index))), time=float(index), features=features)


def _alarms(study: StudyContext, what: str, *parts: tuple[Kind, int]) -> list[int | None]:
    config = {"alarm_every_events": LIMIT, "reference_events": REFERENCE}
    return [
        first_alarm(create_stream("anomaly", config), _answers([study.seed, run], parts))
        for run in tracked(study.progress, f"anomaly: {what}", range(study.runs))
    ]


def anomaly(study: StudyContext) -> list[Row]:
    """Return the delays after each change, and, without a change, the ratio of mean run length to alarm budget."""
    rows = []
    for name, change in CHANGES.items():
        alarms = _alarms(study, name, (USUAL, BEFORE), (change, AFTER))
        delays = [None if alarm is None else alarm - BEFORE for alarm in alarms]
        rows.append(delay_row("anomaly", f"N = {LIMIT:,}: {name}", delays))
    false = [
        None if alarm is None else alarm - REFERENCE
        for alarm in _alarms(study, "no change", (USUAL, REFERENCE + 3 * LIMIT))
    ]
    count = sum(alarm is not None for alarm in false)
    data = f"N = {LIMIT:,}, no change: events to a false alarm / N ({count} alarms)"
    length = events_per_alarm(false, 3 * LIMIT) / LIMIT
    return [*rows, {"detector": "anomaly", "data": data, "runs": study.runs, "run_length": length}]
