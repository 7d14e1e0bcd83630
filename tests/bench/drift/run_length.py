"""The number of events until a false alarm on simulated unchanged streams."""

import itertools
import math

import numpy as np
from scipy.stats import sem

from bench.drift.in_control import FEATURES, STREAMS, Exchangeable, Floats
from detectors.base import Observation
from detectors.evaluate.progress import Progress, no_progress
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.streams.conversations import Conversations
from detectors.streams.monitor import Budget, Monitor

#: Interval, in events, at which runs with an alarm are dropped and progress is reported.
_EVERY = 64
#: Length, in multiples of the limit, at which a run without an alarm ends.
LONGEST = 12.0


def run_lengths(
    stream: Exchangeable,
    budget: Budget,
    *,
    runs: int,
    seed: int,
    progress: Progress = no_progress,
    name: str = "run lengths",
) -> Floats:
    """Return the number of events until an alarm in each run, (runs,), at most ``LONGEST`` times the limit.

    The count starts when the references are complete. ``name`` is shown in progress reports.
    """
    rng = np.random.default_rng(seed)
    monitors = [Monitor(FEATURES, budget) for _ in range(runs)]
    conversations = Conversations(budget.conversation_events, budget.conversation_turns)
    alive, going = np.arange(runs), np.ones(runs, dtype=np.bool_)
    longest = LONGEST * budget.limit
    lengths = np.full(runs, longest)
    begun: int | None = None
    for number in itertools.count():
        time, principal, conversation = stream.event(number)
        scores = stream.scores(rng, number, alive)
        event = Observation(id="", time=time, features={})
        used = conversations.looks_at(principal, conversation)
        # Before the first bets, the draws have no influence.
        draws = np.zeros(len(alive)) if begun is None or not used else rng.random(len(alive))
        for monitor, row, draw in zip(monitors, scores, draws.tolist(), strict=True):
            monitor.update(event, row if used else None, draw)
        if begun is None:
            begun = number if monitors[0].ready else None
            continue
        alarmed = going & [monitor.alarm for monitor in monitors]
        lengths[alive[alarmed]] = number - begun
        going &= ~alarmed
        if number % _EVERY == 0:
            progress(name, number - begun, int(longest))
            monitors = list(itertools.compress(monitors, going))
            alive, going = alive[going], going[going]
        if not going.any() or number - begun >= longest:
            break
    return lengths


def run_length_rows(study: StudyContext, limit: int = 1000) -> list[Row]:
    """Return, for each of `STREAMS`, the mean run length divided by ``limit``, and its standard error (NaN for one run)."""
    rows: list[Row] = []
    for name, (make, options) in STREAMS.items():
        stream, budget = make(study.seed, study.runs), Budget(limit=limit, **options)
        what = f"{name}, N = {limit}"
        lengths = run_lengths(
            stream, budget, runs=study.runs, seed=study.seed, progress=study.progress, name=f"run lengths: {what}"
        )
        rows.append(
            {
                "detector": "drift",
                "data": f"{what}: mean run length / N",
                "runs": study.runs,
                "run_length": float((lengths / limit).mean()),
                "standard_error": float(sem(lengths / limit)) if study.runs > 1 else math.nan,
            }
        )
    return rows
