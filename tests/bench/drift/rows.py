"""The rows of the tables."""

from collections.abc import Sequence

import numpy as np

from detectors.evaluate.studies.alarms import BEFORE, events_per_alarm
from detectors.evaluate.studies.context import Row

#: Number of events after a change; there are `BEFORE` before it.
AFTER = 600


def run_length_row(data: str, alarms: Sequence[int | None], longest: int) -> Row:
    """Return a row for streams without a change, with the mean number of events per alarm."""
    return {"detector": "drift", "data": data, "run_length": events_per_alarm(alarms, longest), "runs": len(alarms)}


def censored_delay_row(data: str, alarms: Sequence[int | None]) -> Row:
    """Return a row with the delays after a change at event `BEFORE`; a missed change counts as `AFTER` events.

    Runs with an alarm before the change are left out; if no run remains, the delays are NaN.
    """
    delays = [AFTER if alarm is None else alarm - BEFORE for alarm in alarms if alarm is None or alarm > BEFORE]
    values = np.array(delays or [np.nan])
    return {
        "detector": "drift",
        "data": data,
        "runs": len(alarms),
        "delay_median": float(np.median(values)),
        "delay_p90": float(np.quantile(values, 0.9)),
        "delay_mean": float(np.mean(values)),
        "missed": sum(alarm is None for alarm in alarms),
        "too_early": len(alarms) - len(delays),
    }
