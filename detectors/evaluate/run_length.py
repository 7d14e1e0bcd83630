"""How long a stream without a change goes on until a (false) alarm: thousands of streams at once.

`Twins` is `detectors.streams.monitor` with a leading axis of streams, so that a thousand runs of ten thousand events take a minute;
a test holds the two against each other, event by event.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.evaluate.nulls import FEATURES, STREAMS, Null
from detectors.streams.conversations import Conversations
from detectors.streams.monitor import Budget, Feature, Monitor
from detectors.streams.recent import MEMORY
from detectors.streams.sequential_tests import FEW, LEAST, LENIENT, MOST, ODDS, OVERSHOOT

__all__ = ["Twins", "length_rows", "run_lengths"]

Floats = NDArray[np.float64]

_RAISED = np.array(ODDS)[None, :, None]
_COMPRESS = 64
LONGEST = 12.0


class Twins:
    """``runs`` monitors side by side, up to their first alarm."""

    def __init__(self, features: Mapping[str, Feature], budget: Budget, runs: int) -> None:
        monitor = Monitor(features, budget)
        self._columns = np.array([row[1] for row in monitor.layout])
        self._signs = np.array([row[2] for row in monitor.layout])
        self._fractions = [row[3] for row in monitor.layout]
        self._weights = np.tile(monitor.weights / len(ODDS), len(ODDS))
        self._budget = budget
        self._sums = np.zeros((runs, len(ODDS), len(self._signs)))
        self._counts: dict[int, Floats] = {}
        self.statistic = np.zeros(runs)

    def begin(self, reference: Floats, times: Floats) -> None:
        """Fix the regions of each run by its own reference, (runs, n, scores), observed at ``times``, (n,)."""
        values = reference[:, :, self._columns] * self._signs
        slots = np.array([self._budget.slot(time) for time in times])
        count = values.shape[1]
        ordered = np.sort(values, axis=1)
        ranks = [count - min(count, max(1, round(part * (count + 1)))) for part in self._fractions]
        self._thresholds = ordered[:, ranks, np.arange(len(ranks))]
        inside = np.array([count - rank for rank in ranks])
        self._lately = np.tile(inside / (count + 1), (len(values), 1))
        groups = sorted(set(slots.tolist()))
        self._home = groups[0] if len(groups) == 1 else -1
        for slot in groups:
            mine = slots == slot
            counts = self._of(slot)
            counts[:, 0] += (values[:, mine] >= self._thresholds[:, None]).sum(axis=1)
            counts[:, 1] += mine.sum()

    def _of(self, slot: int) -> Floats:
        counts = self._counts.get(slot)
        if counts is None:
            counts = self._counts[slot] = np.zeros((len(self._sums), 2, len(self._signs)))
        return counts

    def wait(self) -> None:
        """Take an event that is not looked at."""
        self._sums += 1.0
        self._measure()

    def update(self, scores: Floats, slot: int, chance: Floats) -> None:
        """Take an event that is: scores, (runs, scores), and a uniform number a run."""
        counts = self._of(slot)
        inside = scores[:, self._columns] * self._signs >= self._thresholds
        few = (counts[:, 1] < FEW) & (slot != self._home)
        lenient = np.minimum(LENIENT * self._lately + LEAST, MOST)
        share = np.where(few, lenient, counts[:, 0] / (counts[:, 1] + 1.0))[:, None, :]
        most = (OVERSHOOT * self._budget.limit / (self.statistic + 1.0))[:, None, None]
        spare = 1.0 - most * share
        cut = np.where(spare > 0.0, most * (1.0 - share) / np.maximum(spare, 1e-12), ODDS[-1])
        odds = np.minimum(_RAISED, np.maximum(cut, 1.0))
        others = 1.0 / (1.0 + (odds - 1.0) * share)
        sure = few | (slot == self._home)
        won = inside & (sure | (chance[:, None] * (counts[:, 0] + 1.0) < counts[:, 0]))
        self._lately += (inside - self._lately) / MEMORY
        self._sums = (self._sums + 1.0) * np.where(won[:, None, :], odds * others, others)
        counts[:, 0] += inside
        counts[:, 1] += 1.0
        self._measure()

    def _measure(self) -> None:
        self.statistic = self._sums.reshape(len(self._sums), -1) @ self._weights

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Drop the runs that are not chosen."""
        self._sums, self.statistic = self._sums[chosen], self.statistic[chosen]
        self._thresholds, self._lately = self._thresholds[chosen], self._lately[chosen]
        self._counts = {slot: counts[chosen] for slot, counts in self._counts.items()}


def run_lengths(
    stream: Null,
    budget: Budget,
    *,
    runs: int,
    seed: int,
    reference: int = 200,
) -> Floats:
    """Return how many events passed in each run until an alarm, (runs,), at most ``LONGEST`` times the limit.

    Parameters
    ----------
    stream
        What it is a stream of; its first observations are each run's own calibration sample.
    budget
        Its limit is in events.
    reference
        Observations of the calibration sample.
    """
    rng = np.random.default_rng(seed)
    twins = Twins(FEATURES, budget, runs)
    conversations = Conversations(budget.conversation_events, budget.conversation_turns)
    alive, going = np.arange(runs), np.ones(runs, dtype=np.bool_)
    lengths = np.full(runs, LONGEST * budget.limit)
    first: list[Floats] = []
    times: list[float] = []
    begun = 0
    for number in itertools.count():
        time, principal, conversation = stream.event(number)
        scores = stream.scores(rng, number, alive)
        looked_at = conversations.looks_at(principal, conversation)
        if len(first) < reference:
            if looked_at:
                first.append(scores)
                times.append(time)
            if len(first) == reference:
                twins.begin(np.stack(first, axis=1), np.array(times))
                begun = number
            continue
        if looked_at:
            twins.update(scores, budget.slot(time), rng.random(len(alive)))
        else:
            twins.wait()
        alarmed = going & (twins.statistic >= budget.limit)
        lengths[alive[alarmed]] = number - begun
        going &= ~alarmed
        if number % _COMPRESS == 0 and not going.all():
            twins.keep(going)
            alive, going = alive[going], np.ones(int(going.sum()), dtype=np.bool_)
        if not going.any() or number - begun >= LONGEST * budget.limit:
            break
    return lengths


def length_rows(limit: int, runs: int, seed: int) -> list[dict[str, Any]]:
    """Return the mean run length of each of `STREAMS` over ``limit``, and its standard error."""
    rows: list[dict[str, Any]] = []
    for name, (make, options) in STREAMS.items():
        budget = Budget(limit=limit, **options)
        lengths = run_lengths(make(seed, runs), budget, runs=runs, seed=seed) / limit
        rows.append(
            {
                "detector": "drift",
                "data": f"{name}, N = {limit}: mean run length / N",
                "runs": runs,
                "run_length": float(lengths.mean()),
                "standard_error": float(lengths.std() / math.sqrt(runs)),
            }
        )
    return rows
