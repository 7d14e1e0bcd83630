"""The study ``tool_mix``: delays after a change of the called tools, and false alarms without a change."""

from collections.abc import Iterator, Sequence

import numpy as np

from detectors.base import Observation
from detectors.evaluate.studies.alarms import delays_and_false_alarms
from detectors.evaluate.studies.context import Row, StudyContext
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


def _answers(seed: Sequence[int], kinds: Sequence[Mix]) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for index, mix in enumerate(kinds):
        shares = np.array(list(mix.values()))
        names = rng.choice(list(mix), size=1 + rng.poisson(0.3), p=shares / shares.sum())
        yield Observation(
            id="-".join(map(str, (*seed, index))), time=float(index), features=tool_features(map(str, names))
        )


def tool_mix(study: StudyContext) -> list[Row]:
    """Return the delays after each change, and, without a change, the ratio of mean run length to alarm budget."""
    return delays_and_false_alarms(study, "tool_mix", USUAL, CHANGES, _answers)
