"""The study ``run-length``: the number of events until a false alarm on thousands of simulated unchanged streams.

`BatchMonitor` processes many streams at once with the algorithm of `detectors.streams.monitor.Monitor`: a thousand runs
of ten thousand events take a minute. A test compares both classes event by event.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import sem

from detectors.evaluate.progress import Progress, no_progress
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.evaluate.studies.in_control import FEATURES, STREAMS, Exchangeable
from detectors.streams.conversations import Conversations
from detectors.streams.monitor import Budget, Monitor
from detectors.streams.sequential_tests import FEW, ODDS, OVERSHOOT

Floats = NDArray[np.float64]

_RAISED = np.array(ODDS)[None, :, None]
#: Interval, in events, at which runs with an alarm are dropped and progress is reported.
_EVERY = 64
#: Length, in multiples of the limit, at which a run without an alarm ends.
LONGEST = 12.0
#: Number of events of a reference.
REFERENCE = 200


class BatchMonitor:
    """The monitors of ``runs`` streams with `FEATURES`; ``statistic``, (runs,), has the current statistic of each monitor."""

    def __init__(self, budget: Budget, runs: int) -> None:
        monitor = Monitor(FEATURES, budget)
        self._columns = np.array([row[1] for row in monitor.layout])
        self._signs = np.array([row[2] for row in monitor.layout])
        self._fractions = [row[3] for row in monitor.layout]
        self._weights = np.tile(monitor.weights / len(ODDS), len(ODDS))
        self._budget = budget
        self._sums = np.zeros((runs, len(ODDS), len(self._signs)))
        self._counts: dict[int, Floats] = {}
        self.statistic = np.zeros(runs)

    def begin(self, reference: Floats, times: Floats) -> None:
        """Set the bounds of each run's regions from the reference scores, and count the reference events.

        ``reference`` has the shape (runs, events, scores). ``times`` has the time of each event.
        """
        values = reference[:, :, self._columns] * self._signs
        slots = np.array([self._budget.slot(time) for time in times])
        count, ordered = values.shape[1], np.sort(values, axis=1)
        ranks = [count - min(count, max(1, round(part * (count + 1)))) for part in self._fractions]
        self._thresholds = ordered[:, ranks, np.arange(len(ranks))]
        groups = sorted(set(slots.tolist()))
        self._home = groups[0] if len(groups) == 1 else -1
        for slot in groups:
            mine, counts = slots == slot, self._of(slot)
            counts[:, 0] += (values[:, mine] >= self._thresholds[:, None]).sum(axis=1)
            counts[:, 1] += mine.sum()

    def _of(self, slot: int) -> Floats:
        """Return the counts of a half-hour of the day, (runs, 2, regions): events in each region, and all events."""
        if slot not in self._counts:
            self._counts[slot] = np.zeros((len(self._sums), 2, len(self._signs)))
        return self._counts[slot]

    def wait(self) -> None:
        """Count an event that the detector does not use."""
        self._sums += 1.0
        self._measure()

    def update(self, scores: Floats, slot: int, uniform: Floats) -> None:
        """Process the scores of an event, (runs, scores), with a uniform random number per run, (runs,)."""
        counts = self._of(slot)
        inside = scores[:, self._columns] * self._signs >= self._thresholds
        few = (counts[:, 1] < FEW) & (slot != self._home)
        share = ((counts[:, 0] + few) / (counts[:, 1] + 1.0))[:, None, :]
        most = (OVERSHOOT * self._budget.limit / (self.statistic + 1.0))[:, None, None]
        spare = 1.0 - most * share
        cut = np.where(spare > 0.0, most * (1.0 - share) / np.maximum(spare, 1e-12), ODDS[-1])
        odds = np.minimum(_RAISED, np.maximum(cut, 1.0))
        others = 1.0 / (1.0 + (odds - 1.0) * share)
        sure = few | (slot == self._home)
        won = inside & (sure | (uniform[:, None] * (counts[:, 0] + 1.0) < counts[:, 0]))
        self._sums = (self._sums + 1.0) * np.where(won[:, None, :], odds * others, others)
        counts[:, 0] += inside
        counts[:, 1] += 1.0
        self._measure()

    def _measure(self) -> None:
        self.statistic = self._sums.reshape(len(self._sums), -1) @ self._weights

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Keep only the runs that the mask ``chosen``, (runs,), selects."""
        self._sums, self.statistic = self._sums[chosen], self.statistic[chosen]
        self._thresholds = self._thresholds[chosen]
        self._counts = {slot: counts[chosen] for slot, counts in self._counts.items()}


def run_lengths(  # noqa: PLR0913 - a stream, its budget, and how it is simulated
    stream: Exchangeable,
    budget: Budget,
    *,
    runs: int,
    seed: int,
    progress: Progress = no_progress,
    name: str = "",
) -> Floats:
    """Return the number of events until an alarm in each run, (runs,), at most ``LONGEST`` times the limit.

    The first `REFERENCE` used events of a run form its reference. ``name`` is shown in progress reports.
    """
    rng = np.random.default_rng(seed)
    monitors = BatchMonitor(budget, runs)
    conversations = Conversations(budget.conversation_events, budget.conversation_turns)
    alive, going = np.arange(runs), np.ones(runs, dtype=np.bool_)
    longest = LONGEST * budget.limit
    lengths = np.full(runs, longest)
    first: list[Floats] = []
    times: list[float] = []
    begun = 0
    for number in itertools.count():
        time, principal, conversation = stream.event(number)
        scores = stream.scores(rng, number, alive)
        observed = conversations.looks_at(principal, conversation)
        if len(first) < REFERENCE:
            if observed:
                first.append(scores)
                times.append(time)
            if len(first) == REFERENCE:
                monitors.begin(np.stack(first, axis=1), np.array(times))
                begun = number
            continue
        if observed:
            monitors.update(scores, budget.slot(time), rng.random(len(alive)))
        else:
            monitors.wait()
        alarmed = going & (monitors.statistic >= budget.limit)
        lengths[alive[alarmed]] = number - begun
        going &= ~alarmed
        if number % _EVERY == 0:
            progress(f"run lengths: {name}" if name else "run lengths", number - begun, int(longest))
            if not going.all():
                monitors.keep(going)
                alive, going = alive[going], np.ones(int(going.sum()), dtype=np.bool_)
        if not going.any() or number - begun >= longest:
            break
    return lengths


def run_length_rows(study: StudyContext, limit: int = 1000) -> list[Row]:
    """Return, for each of `STREAMS`, the mean run length divided by ``limit``, and its standard error (NaN for one run)."""
    rows: list[Row] = []
    for name, (make, options) in STREAMS.items():
        budget = Budget(limit=limit, **options)
        stream = make(study.seed, study.runs)
        lengths = run_lengths(
            stream, budget, runs=study.runs, seed=study.seed, progress=study.progress, name=f"{name}, N = {limit:,}"
        )
        rows.append(
            {
                "detector": "drift",
                "data": f"{name}, N = {limit}: mean run length / N",
                "runs": study.runs,
                "run_length": float((lengths / limit).mean()),
                "standard_error": float(sem(lengths / limit)) if study.runs > 1 else math.nan,
            }
        )
    return rows
