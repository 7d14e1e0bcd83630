"""The size of a change of the error rate during a long alarm."""

import numpy as np
from support.observed_answers import answers

from detectors.registry import create_stream


def test_a_long_rise_of_errors_that_is_too_small_does_not_hide_an_outage():
    detector, rng = create_stream("anomaly", {"daily_cycle": False}), np.random.default_rng(1)

    def send(tag, buckets, size, failing):
        for bucket in range(buckets):
            finding = detector.update_many(answers(rng, size, f"{tag}{bucket}-", failing=failing))
        return finding

    send("a", 30, 100, 0.01)
    small = send("b", 100, 100, 0.025)
    assert small.details["too_small"]
    assert small.feature == "error"
    outage = send("c", 3, 10, 1.0)
    assert outage.alarm
    assert outage.feature == "error"
