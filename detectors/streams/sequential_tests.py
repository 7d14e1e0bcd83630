"""Anytime-valid change detection from ranks: what drift and anomaly alarm with.

A *region* is a set of values that a reference decides once: "among the largest 3 %", "as near to topic 4 as a tenth of the
reference". As long as the stream is exchangeable, the chance that the next value falls into a region is known exactly,
whatever the distribution: j of n + 1 gaps between the reference's values lie in it at first, and each value that falls into
it adds one (Pólya's urn; the rank of a new value among all former ones is uniform: Vovk, Gammerman and Shafer, Algorithmic
Learning in a Random World). A bet that multiplies the odds of the region then has mean one, and a Shiryaev-Roberts sum of
such bets, ``R <- (R + 1) bet``, grows by one an event on average (an e-detector: Shin, Ramdas and Rinaldo, arXiv 2203.03532).
So does a weighted average of sums, and it takes N events on average to reach N: the user's "at most one false alarm in N
events". An event that is not looked at bets nothing and still adds its one: the budget is in events, whatever the sample.

Bets are cut, before their value is known, so that the average never jumps far past the limit: the jump would be lost time.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.streams.recent import MEMORY, Change, Recent, Remembered

__all__ = [
    "FEW",
    "LEAST",
    "LENIENT",
    "MEMORY",
    "MOST",
    "ODDS",
    "Change",
    "Moment",
    "Regions",
    "RegionsState",
    "tie_break",
]

Floats = NDArray[np.float64]

#: What a bet multiplies the odds of its region by.
ODDS: Final = (3.0, 12.0)
#: How far past the limit a bet may carry the average.
OVERSHOOT: Final = 1.1
#: A time of the day with fewer values than this of its own is held to a share that is lenient: a daily cycle of one standard
#: deviation up and down doubles a tail of 3 % within about an hour.
FEW: Final = 50
LENIENT, LEAST, MOST = 2.0, 0.02, 0.9
_RAISED: Final = np.array(ODDS)[:, None]
#: Where a bet is nearly cut it is left to `Regions.update`, whose word on that is final.
_SAFELY: Final = 0.999


_HALVES: Final = struct.Struct(">QQ")


def tie_break(seed: int, identity: str) -> tuple[float, float]:
    """Return two numbers in (0, 1) that are a function of the seed and the event alone."""
    digest = hashlib.blake2b(f"{seed}\0{identity}".encode("utf-8", "replace"), digest_size=16).digest()
    high, low = _HALVES.unpack(digest)
    return (high + 0.5) / 2.0**64, (low + 0.5) / 2.0**64


class Moment(NamedTuple):
    """When an observation is.

    Attributes
    ----------
    event, time
        Number and time of its event.
    slot
        Its group, the time of the day: values are ranked within it.
    step
        What the event adds to each sum: 1, or the time since the last one.
    chance
        Uniform in (0, 1), of the event alone.
    """

    event: int
    time: float
    slot: int
    step: float
    chance: float


class RegionsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Regions`; rows in order, ``counts`` by slot as [inside, seen]."""

    thresholds: list[float]
    home: list[int]
    lately: list[float]
    counts: dict[int, list[list[int]]]
    sums: list[list[float]]
    recent: list[Remembered]


class Regions:
    """One e-detector a region and bet, under one limit.

    Parameters
    ----------
    scores
        By region, which of the scores it reads, (m,).
    signs
        1 where large values are inside, -1 where small ones are, (m,).
    weights
        Share of the alarm budget, (m,), adding up to one at most.
    limit
        Where the weighted average of the sums alarms.

    Notes
    -----
    State: two counts a region and slot, three sums a bet, and the last 160 observations. An update is a dozen operations
    on (2, m), about 15 µs for 30 regions.
    """

    def __init__(self, scores: NDArray[np.intp], signs: Floats, weights: Floats, *, limit: float) -> None:
        self._scores, self._signs, self.limit = scores, signs, limit
        size = len(scores)
        self._weights = np.tile(weights / len(ODDS), (len(ODDS), 1))
        self._thresholds = np.full(size, np.inf)
        self._ready = np.zeros(size)
        self._home = np.full(size, -1, dtype=np.int64)
        self._lately = np.zeros(size)
        self._counts: dict[int, Floats] = {}
        self._sums = np.zeros((len(ODDS), size))
        #: The group that all of the reference came from, in every region; -1 where there is none.
        self._only_home = -1
        self._recent = Recent(size)
        self.statistic = 0.0

    def begin(self, region: int, reference: Floats, slots: NDArray[np.int64], fraction: float) -> None:
        """Fix a region as the outermost ``fraction`` of the reference, which is its first history.

        Parameters
        ----------
        region
            Its number.
        reference, slots
            Values, (n,), and the group that each belongs to, (n,).
        fraction
            In (0, 1); one value at least is inside.
        """
        values = reference * self._signs[region]
        inside = max(1, round(fraction * (len(values) + 1)))
        threshold = np.sort(values)[-min(inside, len(values))]
        self._thresholds[region], self._ready[region] = threshold, 1.0
        for counts in self._counts.values():
            counts[:, region] = 0.0
        groups = sorted(set(slots.tolist()))
        self._home[region] = groups[0] if len(groups) == 1 else -1
        for slot in groups:
            counts = self._of(slot)
            counts[0, region] += int((values[slots == slot] >= threshold).sum())
            counts[1, region] += int((slots == slot).sum())
        self._lately[region] = inside / (len(values) + 1)
        self._find_home()

    def _find_home(self) -> None:
        homes = {*self._home[self._ready > 0.0].tolist()}
        self._only_home = homes.pop() if len(homes) == 1 else -1

    def renew(self, regions: NDArray[np.bool_]) -> None:
        """Forget all of these regions, (m,): they wait for another reference."""
        self._thresholds[regions], self._ready[regions], self._home[regions] = np.inf, 0.0, -1
        self._sums[:, regions], self._lately[regions] = 0.0, 0.0
        self._find_home()
        self._measure()

    def _of(self, slot: int) -> Floats:
        counts = self._counts.get(slot)
        if counts is None:
            counts = self._counts[slot] = np.zeros((2, len(self._scores)))
        return counts

    def wait(self, step: float) -> None:
        """Take an event that is not looked at: every sum grows by its step."""
        self._sums += self._ready * step
        self._measure()

    def _measure(self) -> None:
        self.statistic = float(np.vdot(self._weights, self._sums))

    def update(self, scores: Floats, moment: Moment, *, alarm: bool) -> None:
        """Bet on one observation, then learn it unless there is an ``alarm`` already: then no bet is cut either.

        Parameters
        ----------
        scores
            NaN where it has none; ties broken at random already.
        moment
            When it is.
        """
        values = scores[self._scores] * self._signs
        fell = np.empty((2, len(values)), dtype=np.bool_)
        won = inside = np.greater_equal(values, self._thresholds, out=fell[0])
        seen = np.equal(values, values, out=fell[1])
        counts = self._of(moment.slot)
        share = counts[0] / (counts[1] + 1.0)
        if moment.slot != self._only_home:
            share, sure = self._elsewhere(counts, share, moment.slot)
            won = inside & (sure | (moment.chance * (counts[0] + 1.0) < counts[0]))
        share *= seen
        odds = _RAISED if alarm else self._cut(share, moment.step)
        bets = 1.0 / (1.0 + (odds - 1.0) * share)
        np.multiply(bets, odds, out=bets, where=won)
        self._sums += self._ready * moment.step
        self._sums *= bets
        self._measure()
        if not alarm:
            counts += fell
            self._lately += (inside - self._lately) * seen / MEMORY
        self._recent.append(moment.event, moment.time, moment.slot, fell, learned=not alarm)

    def update_many(self, scores: Floats, looked: Sequence[bool], moments: Sequence[Moment]) -> tuple[int, float]:
        """Take events of one slot in order, as `update` and `wait` would one by one, until a bet has to be cut or the limit is reached.

        Parameters
        ----------
        scores
            Of those that are looked at, (k, scores), NaN where one has none.
        looked
            Which events are, (n,), k of them.
        moments
            When each event is, (n,).

        Returns
        -------
        tuple of int and float
            How many events were taken, and the highest statistic after any of them.

        Notes
        -----
        What a bet is depends on counts alone, and counts on what fell where: both are known for all events at once.
        """
        counts, size = self._of(moments[0].slot), len(self._scores)
        fell = np.empty((len(scores), 2, size), dtype=np.bool_)
        values = scores[:, self._scores] * self._signs
        inside = np.greater_equal(values, self._thresholds, out=fell[:, 0])
        seen = np.equal(values, values, out=fell[:, 1])
        lately = self._lately_many(inside, seen)
        chances = [moment.chance for moment, mine in zip(moments, looked, strict=True) if mine]
        bets = self._bets(counts, fell, lately, np.array(chances), moments[0].slot)
        taken, read, highest = self._multiply(bets, looked, moments)
        if read:
            counts += fell[:read].sum(axis=0)
            self._lately = lately[read].copy()
        mine = [moment for moment, one in zip(moments[:taken], looked, strict=False) if one]
        self._recent.extend([(one.event, one.time, one.slot) for one in mine], fell[:read])
        return taken, highest

    def _lately_many(self, inside: NDArray[np.bool_], seen: NDArray[np.bool_]) -> Floats:
        """Return the shares of late before each observation and after the last, (k + 1, m)."""
        lately = np.empty((len(inside) + 1, inside.shape[1]))
        lately[0] = self._lately
        change, scored = np.empty(inside.shape[1]), None if seen.all() else seen.astype(np.float64)
        for row, (fell, before, after) in enumerate(zip(inside.astype(np.float64), lately, lately[1:], strict=False)):
            np.subtract(fell, before, out=change)
            if scored is not None:
                change *= scored[row]
            change /= MEMORY
            np.add(before, change, out=after)
        return lately

    def _bets(self, counts: Floats, fell: NDArray[np.bool_], lately: Floats, chances: Floats, slot: int) -> Floats:
        """Return what each observation multiplies the sums by, uncut, (k, bets, m)."""
        before = counts + np.cumsum(fell, axis=0) - fell  # whole numbers: exact
        won, seen = fell[:, 0], fell[:, 1]
        share = before[:, 0] / (before[:, 1] + 1.0)
        if slot != self._only_home:
            home = self._home == slot
            few = ~home & (before[:, 1] < FEW)
            share = np.where(few, np.minimum(LENIENT * lately[:-1] + LEAST, MOST), share)
            won = won & (home | few | (chances[:, None] * (before[:, 0] + 1.0) < before[:, 0]))
        share *= seen
        bets: Floats = 1.0 / (1.0 + (_RAISED - 1.0) * share[:, None])
        np.multiply(bets, _RAISED, out=bets, where=won[:, None])
        return bets

    def _uncut(self) -> float:
        """Return up to which average no bet is cut; where one nearly is, `update` has the word."""
        return _SAFELY * OVERSHOOT * self.limit / ODDS[-1]

    @property
    def calm(self) -> bool:
        """Whether the next bet is not cut: `update_many` would take it."""
        return self.statistic + 1.0 <= self._uncut()

    def _multiply(self, bets: Floats, looked: Sequence[bool], moments: Sequence[Moment]) -> tuple[int, int, float]:
        """Bet; return how many events and how many observations were taken, and the highest statistic after any."""
        uncut, sums, ready = self._uncut(), self._sums, self._ready
        flat, weights = sums.reshape(-1), self._weights.reshape(-1)  # views: the sums are one block of memory
        statistic, read, highest = self.statistic, 0, 0.0
        taken = 0
        for mine, moment in zip(looked, moments, strict=True):
            if mine and statistic + moment.step > uncut:
                break
            sums += ready if moment.step == 1.0 else ready * moment.step
            if mine:
                sums *= bets[read]
                read += 1
            statistic = float(np.dot(weights, flat))
            highest = max(highest, statistic)
            taken += 1
            if statistic >= self.limit:
                break
        self.statistic = statistic
        return taken, read, highest

    def _elsewhere(self, counts: Floats, share: Floats, slot: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the shares to bet against in a group that the reference says little of, and whose wins are not drawn for.

        The reference fixed the region, so the urn is exact for the group it came from. For another one the chance of its next
        value lies between n_in / (n + 1) and (n_in + 1) / (n + 1): the lower is bet on, and a value inside wins n_in times
        in n_in + 1. A group with few values of its own is held to twice what was seen of late instead.
        """
        home = self._home == slot
        few = ~home & (counts[1] < FEW)
        return np.where(few, np.minimum(LENIENT * self._lately + LEAST, MOST), share), home | few

    def _cut(self, share: Floats, step: float) -> Floats:
        """Return odds, (bets, m), under which no outcome carries the average past ``OVERSHOOT`` times the limit."""
        room = self.statistic + step
        if room * ODDS[-1] <= OVERSHOOT * self.limit:
            return _RAISED
        most = OVERSHOOT * self.limit / room
        spare = 1.0 - most * share
        cut: Floats = np.where(spare > 0.0, most * (1.0 - share) / np.maximum(spare, 1e-12), ODDS[-1])
        odds: Floats = np.minimum(_RAISED, np.maximum(cut, 1.0))
        return odds

    def hold(self, highest: float) -> None:
        """Scale the sums down to ``highest``: a lower sum is never an earlier alarm, and an alarm can clear."""
        if self.statistic > highest:
            self._sums *= highest / self.statistic
            self._measure()

    def restart(self) -> None:
        """Begin the sums anew, so that the next alarm has a budget of its own."""
        self._sums[:] = 0.0
        self.statistic = 0.0

    def leading(self) -> int:
        """Return the region with the largest share of the statistic."""
        return int(np.argmax((self._weights * self._sums).sum(axis=0)))

    def change(self, region: int) -> Change:
        """Return when a region's share most likely rose, and by how much; see `Recent.change`."""
        inside, seen = sum((counts[:, region] for counts in self._counts.values()), start=np.zeros(2)).tolist()
        return self._recent.change(region, inside / max(1.0, seen))

    def forget(self, since: float) -> None:
        """Take what was learned from event ``since`` on back out of the counts, so that a change does not become normal."""
        for slot, fell in self._recent.take_back(since):
            self._of(slot)[:] -= fell

    def snapshot(self) -> RegionsState:
        """Return an immutable copy of the state."""
        return RegionsState(
            thresholds=self._thresholds.tolist(),
            home=self._home.tolist(),
            lately=self._lately.tolist(),
            counts={slot: self._counts[slot].astype(np.int64).tolist() for slot in sorted(self._counts)},
            sums=self._sums.tolist(),
            recent=self._recent.snapshot(),
        )

    def restore(self, state: RegionsState) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            It has another shape.
        """
        size = len(self._scores)
        sums = np.array(state.sums, dtype=np.float64)
        counts = {slot: np.array(rows, dtype=np.float64) for slot, rows in state.counts.items()}
        shapes = {sums.shape, *((len(ODDS), len(rows)) for rows in (state.thresholds, state.home, state.lately))}
        if shapes != {self._sums.shape} or any(rows.shape != (2, size) for rows in counts.values()):
            raise ValueError(f"{size} regions cannot take the state of {len(state.thresholds)}")
        self._recent.restore(state.recent)
        self._thresholds = np.array(state.thresholds)
        self._ready = np.isfinite(self._thresholds).astype(np.float64)
        self._home = np.array(state.home, dtype=np.int64)
        self._lately = np.array(state.lately, dtype=np.float64)
        self._counts, self._sums = counts, sums
        self._find_home()
        self._measure()
