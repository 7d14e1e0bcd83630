"""The studies ``anomaly`` and ``tool_mix``: delays after a change of the answers, and false alarms without a change."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from detectors.base import Observation
from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.alarms import BEFORE, delay_row, events_per_alarm, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.registry import create_stream
from detectors.streams.tool_mix import tool_features

KindT = TypeVar("KindT")
#: Number of events after a change, alarm budget, and events of the reference.
AFTER_CHANGE, LIMIT, REFERENCE = 400, 1000, 100
#: Factor of the latency, factor of the number of tokens, share of errors, share of requests that take 30 times as long.
Kind = tuple[float, float, float, float]
CHANGES: dict[str, Kind] = {
    "latency three times as long": (3.0, 1.0, 0.01, 0.0),
    "latency half as long again": (1.5, 1.0, 0.01, 0.0),
    "answers of three times as many tokens": (1.0, 3.0, 0.01, 0.0),
    "answers of half as many tokens": (1.0, 0.5, 0.01, 0.0),
    "one in three fails": (1.0, 1.0, 0.33, 0.0),
    "one in ten fails": (1.0, 1.0, 0.1, 0.0),
    "one in twenty takes 30 times as long": (1.0, 1.0, 0.01, 0.05),
}
USUAL: Kind = (1.0, 1.0, 0.01, 0.0)
#: Shares of the tools in the calls of an agent.
Mix = dict[str, float]
USUAL_MIX: Mix = {"search": 0.5, "read_file": 0.25, "run_tests": 0.15, "write_file": 0.07, "send_mail": 0.03}
MIX_CHANGES: dict[str, Mix] = {
    "a new tool in half of the calls": {name: share / 2 for name, share in USUAL_MIX.items()} | {"delete_file": 0.5},
    "a new tool in a tenth of the calls": {name: 0.9 * share for name, share in USUAL_MIX.items()}
    | {"delete_file": 0.1},
    "a rare tool in a third of the calls": {name: 0.69 * share for name, share in USUAL_MIX.items()}
    | {"send_mail": 0.33},
    "shares in reverse order": dict(zip(USUAL_MIX, reversed(USUAL_MIX.values()), strict=True)),
}


def _answers(seed: Sequence[int], kinds: Sequence[Kind]) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for index, (latency, tokens, errors, slow) in enumerate(kinds):
        longer = 30.0 if slow and rng.random() < slow else 1.0
        features = {
            "latency_seconds": float(rng.lognormal(0, 0.5)) * latency * longer,
            "error": float(rng.random() < errors),
            "completion_tokens": float(rng.integers(5, 100)) * tokens,
        }
        yield Observation(id="-".join(map(str, (*seed, index))), time=float(index), features=features)


def _calling_answers(seed: Sequence[int], kinds: Sequence[Mix]) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for index, mix in enumerate(kinds):
        shares = np.array(list(mix.values()))
        names = rng.choice(list(mix), size=1 + rng.poisson(0.3), p=shares / shares.sum())
        yield Observation(
            id="-".join(map(str, (*seed, index))), time=float(index), features=tool_features(map(str, names))
        )


def _delays_and_false_alarms(
    study: StudyContext,
    name: str,
    usual: KindT,
    changes: Mapping[str, KindT],
    answers: Callable[[Sequence[int], Sequence[KindT]], Iterable[Observation]],
) -> list[Row]:
    """Return the delays of a detector after each change, and, without a change, the ratio of mean run length to alarm budget.

    ``answers`` simulates one answer of each given kind, from a seed; ``usual`` is the kind before the change.
    """
    config = {"alarm_every_events": LIMIT, "reference_events": REFERENCE}

    def alarms(what: str, kinds: Sequence[KindT], before: int) -> list[int | None]:
        """Return the number of answers from the first ``before`` answers to the alarm, or None without an alarm."""
        found = [
            first_alarm(create_stream(name, config), answers([study.seed, run], kinds))
            for run in tracked(study.progress, f"{name}: {what}", range(study.runs))
        ]
        return [None if alarm is None else alarm - before for alarm in found]

    rows = [
        delay_row(name, f"N = {LIMIT:,}: {what}", alarms(what, [usual] * BEFORE + [change] * AFTER_CHANGE, BEFORE))
        for what, change in changes.items()
    ]
    false = alarms("no change", [usual] * (REFERENCE + 3 * LIMIT), REFERENCE)
    count = sum(alarm is not None for alarm in false)
    data = f"N = {LIMIT:,}, no change: events to a false alarm / N ({count} alarms)"
    length = events_per_alarm(false, 3 * LIMIT) / LIMIT
    return [*rows, {"detector": name, "data": data, "runs": study.runs, "run_length": length}]


def anomaly(study: StudyContext) -> list[Row]:
    """Return the rows for changes of latency, tokens and errors."""
    return _delays_and_false_alarms(study, "anomaly", USUAL, CHANGES, _answers)


def tool_mix(study: StudyContext) -> list[Row]:
    """Return the rows for changes of the called tools."""
    return _delays_and_false_alarms(study, "tool_mix", USUAL_MIX, MIX_CHANGES, _calling_answers)
