"""The study ``tool_mix``: delays after a change of the called tools, and false alarms without a change."""

from collections.abc import Iterator, Sequence

import numpy as np

from detectors.base import Observation
from detectors.evaluate.progress import tracked
from detectors.evaluate.studies.alarms import delay_row, events_per_alarm, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.registry import create_stream
from detectors.streams.tool_mix import tool_features

__all__ = ["tool_mix"]

#: Shares of the tools in the calls of an agent.
Mix = dict[str, float]
USUAL: Mix = {"search": 0.5, "read_file": 0.25, "run_tests": 0.15, "write_file": 0.07, "send_mail": 0.03}
CHANGES: dict[str, Mix] = {
    "a new tool in half of the calls": {name: share / 2 for name, share in USUAL.items()} | {"delete_file": 0.5},
    "a new tool in a tenth of the calls": {name: 0.9 * share for name, share in USUAL.items()} | {"delete_file": 0.1},
    "a rare tool in a third of the calls": {name: 0.69 * share for name, share in USUAL.items()} | {"send_mail": 0.33},
    "shares in reverse order": dict(zip(USUAL, reversed(USUAL.values()), strict=True)),
}
BEFORE, AFTER = 300, 400
LIMIT, REFERENCE = 1000, 100


def _answers(seed: Sequence[int], parts: Sequence[tuple[Mix, int]]) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for index, mix in enumerate(mix for mix, count in parts for _ in range(count)):
        shares = np.array(list(mix.values()))
        names = rng.choice(list(mix), size=1 + rng.poisson(0.3), p=shares / shares.sum())
        yield Observation(
            id="-".join(map(str, (*seed, index))), time=float(index), features=tool_features(map(str, names))
        )


def _alarms(study: StudyContext, what: str, *parts: tuple[Mix, int]) -> list[int | None]:
    config = {"alarm_every_events": LIMIT, "reference_events": REFERENCE}
    return [
        first_alarm(create_stream("tool_mix", config), _answers([study.seed, run], parts))
        for run in tracked(study.progress, f"tool_mix: {what}", range(study.runs))
    ]


def tool_mix(study: StudyContext) -> list[Row]:
    """Return the delays after each change, and, without a change, the ratio of mean run length to alarm budget."""
    rows = []
    for name, change in CHANGES.items():
        alarms = _alarms(study, name, (USUAL, BEFORE), (change, AFTER))
        delays = [None if alarm is None else alarm - BEFORE for alarm in alarms]
        rows.append(delay_row("tool_mix", f"N = {LIMIT:,}: {name}", delays))
    false = [
        None if alarm is None else alarm - REFERENCE
        for alarm in _alarms(study, "no change", (USUAL, REFERENCE + 3 * LIMIT))
    ]
    count = sum(alarm is not None for alarm in false)
    data = f"N = {LIMIT:,}, no change: events to a false alarm / N ({count} alarms)"
    length = events_per_alarm(false, 3 * LIMIT) / LIMIT
    return [*rows, {"detector": "tool_mix", "data": data, "runs": study.runs, "run_length": length}]
