"""The constants with which injection combines the readings of a request beside its system prompt."""

import numpy as np
import pytest

from detectors.evaluate.examples import Example, labels
from detectors.text.system_rules import conflict_log_odds
from detectors.train.calibration import fit_conflict
from detectors.train.written_texts import guarded_pairs

ASKS = {text for _, text, label in guarded_pairs() if label == 1}


class Readings:
    """A detector with two random readings. If it has a third reading, this has the right sign for 80 % of the texts."""

    def __init__(self, readings):
        self.readings, self.rng = readings, np.random.default_rng(0)

    def log_odds(self, texts):
        return np.zeros(len(texts)), np.ones(len(texts))

    def conflict_readings(self, texts, own, systems):
        assert len(texts) == len(own) == len(systems)
        return [self._of(text) for text in texts]

    def _of(self, text):
        first, second, right, read = self.rng.random(4)
        sign = 1.0 if (text in ASKS) == (right < 0.8) else -1.0
        return (first - 0.5, second - 0.5, 2 * sign)[: self.readings if read < 0.9 else 2]


@pytest.mark.parametrize(("readings", "informed"), [(2, False), (3, True)])
def test_a_reading_has_the_weight_of_what_it_says(readings, informed):
    held = [Example(f"Which team won race {n}?", labels(0.0), 1.0, "written_turn", "tune") for n in range(200)]
    *slopes, shift = fit_conflict(Readings(readings), held, 0)
    assert len(slopes) == readings
    assert all(slope >= 0 for slope in slopes)
    assert (slopes[-1] > 5 * max(slopes[:-1])) == informed
    asked, harmless = ([0.0] * (readings - 1) + [sign * 2.0] for sign in (1, -1))
    found = [conflict_log_odds(one, [*slopes, shift]) for one in (asked, harmless)]
    assert (found[0] > 0.5 and found[1] < -0.5) == informed
