"""Anytime-valid change detection from ranks: what drift and anomaly alarm with.

A value is compared with all values before it: its conformal p-value (Vovk, Gammerman and Shafer, Algorithmic Learning in a
Random World, ch. 8) is uniform as long as the stream is exchangeable, whatever its distribution. A bet ``b p^(b - 1)`` on
small p-values has mean one then, and a Shiryaev-Roberts sum of such bets, ``R <- (1 + R) bet``, grows by one a step on
average (an e-detector: Shin, Ramdas and Rinaldo, arXiv 2203.03532). So the mean time to reach N is at least N: the user's
"at most one false alarm in N events". Weighted averages of such sums keep that; products of averaged bets would not.
"""

import hashlib
import math
from collections import deque

import msgspec
import numpy as np

__all__ = ["BETS", "BINS", "Tracker", "TrackerState", "tie_break"]

BINS = 1024
BETS = (0.12, 0.3, 0.55)
#: Values that wait before they enter the history. A change is mostly detected within them, so it is not compared with
#: itself; the mean run length without a change stays above N (simulated: 2.7 N where learning at once gives 3.1 N).
HOLD = 24
#: Values that a detected change is taken back out of the history, at most.
MEMORY = 160
SMALLEST_P = 1e-7


def tie_break(seed: int, identity: str, feature: str) -> float:
    """Return a number in (0, 1) that is a function of the seed, the event and the feature alone."""
    digest = hashlib.blake2b(f"{seed}\0{feature}\0{identity}".encode("utf-8", "replace"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2.0**64


class TrackerState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a `Tracker`: counts as (bin, count) pairs, sums as they are."""

    ready: bool
    counts: list[tuple[int, int]]
    sums: list[list[float]]
    waiting: list[int]
    recent: list[int]
    walk: float
    run: int


class Tracker:
    """One value a time against its own history.

    Parameters
    ----------
    tails
        1 looks for large values only, 2 for large and small ones.
    warm_up
        Values that are only remembered, before the first bet.
    highest
        Where each sum is capped: a lower sum is a later alarm, never an earlier one, and an alarm can clear.

    Notes
    -----
    State is 1,024 counts and a few numbers; an update costs one pass over the counts (about 5 µs).
    """

    def __init__(self, *, tails: int, warm_up: int, highest: float) -> None:
        self.warm_up = warm_up
        self.highest = highest
        self._counts = np.zeros(BINS, dtype=np.int64)
        self._total = 0
        self._ready = False
        self._sums = [[0.0] * len(BETS) for _ in range(tails)]
        self._waiting: deque[int] = deque()
        self._recent: deque[int] = deque(maxlen=MEMORY)
        self._walk = 0.0
        self._run = 0

    @property
    def statistic(self) -> float:
        """The average of the sums."""
        return math.fsum(map(math.fsum, self._sums)) / (len(self._sums) * len(BETS))

    @property
    def ready(self) -> bool:
        """Whether the warm-up is over; it stays over when a change is forgotten."""
        return self._ready

    @property
    def run(self) -> int:
        """How many values ago the change began, if there is one."""
        return self._run

    def learn(self, place: int) -> None:
        """Remember a value by its bin, without a bet."""
        self._counts[place] += 1
        self._total += 1
        self._ready = self._ready or self._total >= self.warm_up

    def update(self, place: int, tie: float, *, learn: bool) -> None:
        """Bet on a value by its bin, then remember it if ``learn``."""
        if self.ready:
            above = int(self._counts[place + 1 :].sum())
            large = (above + tie * (int(self._counts[place]) + 1)) / (self._total + 1)
            self._bet((large, 1.0 - large))
        if learn:
            self._waiting.append(place)
            if len(self._waiting) > HOLD or not self.ready:
                self._recent.append(self._waiting.popleft())
                self.learn(self._recent[-1])

    def _bet(self, tails: tuple[float, float]) -> None:
        gained = 0.0
        for sums, p in zip(self._sums, tails, strict=False):
            for index, bet in enumerate(BETS):
                gain = bet * min(1.0, max(SMALLEST_P, p)) ** (bet - 1.0)
                sums[index] = min((1.0 + sums[index]) * gain, self.highest)
                gained += gain
        self._walk = max(0.0, self._walk + math.log(gained / (len(self._sums) * len(BETS))))
        self._run = self._run + 1 if self._walk > 0.0 else 0

    def forget_change(self) -> None:
        """Take the values since the change began back out of the history, so that the change does not become normal."""
        spare = self._total - self.warm_up // 2
        for _ in range(min(self._run - len(self._waiting), len(self._recent), spare)):
            self._counts[self._recent.pop()] -= 1
            self._total -= 1
        kept = max(0, len(self._waiting) - self._run)
        self._waiting = deque(list(self._waiting)[:kept])
        self._recent.clear()

    def snapshot(self) -> TrackerState:
        """Return an immutable copy of the state."""
        filled = np.flatnonzero(self._counts)
        return TrackerState(
            ready=self._ready,
            counts=[(int(place), int(self._counts[place])) for place in filled],
            sums=[list(sums) for sums in self._sums],
            waiting=list(self._waiting),
            recent=list(self._recent),
            walk=self._walk,
            run=self._run,
        )

    def restore(self, state: TrackerState) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            It has another shape.
        """
        if [*map(len, state.sums)] != [*map(len, self._sums)]:
            raise ValueError(f"a tracker of {len(self._sums)} tails cannot take the sums of {len(state.sums)}")
        places = [*(place for place, _ in state.counts), *state.waiting, *state.recent]
        if not all(0 <= place < BINS for place in places):
            raise ValueError(f"a tracker has bins 0 to {BINS - 1}, the state others")
        self._counts = np.zeros(BINS, dtype=np.int64)
        for place, count in state.counts:
            self._counts[place] = count
        self._total = int(self._counts.sum())
        self._ready = state.ready
        self._sums = [list(sums) for sums in state.sums]
        self._waiting = deque(state.waiting)
        self._recent = deque(state.recent, maxlen=MEMORY)
        self._walk, self._run = state.walk, state.run
