"""Anytime-valid change detection from ranks: the sequential test of drift, anomaly and sentinel.

A *region* is a range of values, for example "above 97 % of the reference values". Its bounds are computed once, from
the reference, and do not change. While the stream is exchangeable, the probability that the next value is in a region
is known exactly for any distribution. k earlier values have k + 1 gaps between and around them, and the probability is
the share of these gaps that are in the region (Pólya's urn; Vovk, Gammerman and Shafer, Algorithmic Learning in a
Random World).

A *bet* is a factor with mean one. It is above one if the next value is in the region, and below one otherwise. A *sum*
of bets is the Shiryaev-Roberts statistic ``R <- (R + 1) bet``. It grows by one per event on average, and so does a
weighted average of sums (an e-detector: Shin, Ramdas and Rinaldo, arXiv 2203.03532). So the weighted average reaches N
after a mean of at least N events: "at most one false alarm in N events". For a suppressed event, on which no bet is
made, R grows by exactly one.

Each bet is capped, because an average far above the limit would be wasted: false alarms would be rarer than the budget
allows, and changes detected later. The cap is set before the value is known, so the mean of the bet stays one.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.streams.recent import Change, PackedObservation, RecentObservations

Floats = NDArray[np.float64]

#: Factors by which the two bets of a region multiply its odds.
ODDS: Final = (3.0, 12.0)
#: Largest multiple of the limit to which a bet may raise the average.
OVERSHOOT: Final = 1.1
#: In a half-hour with fewer values than `FEW`, the bet uses the upper bound of a region's probability.
FEW: Final = 50
_RAISED: Final = np.array(ODDS)[:, None]
#: If values are 0 or 1: the lowest score of a 1; scores of a 0 are lower (`numeric_features.scores_of`).
ONE: Final = 1.0
#: `ReferenceRegions.update_many` leaves bets that are nearly capped to `update`, so that rounding changes no decision.
_SAFETY: Final = 0.999
_HALVES: Final = struct.Struct(">QQ")


def tie_break(seed: int, identity: str) -> tuple[float, float]:
    """Return two pseudo-random numbers in (0, 1) that depend only on the seed and the event id."""
    digest = hashlib.blake2b(f"{seed}\0{identity}".encode("utf-8", "replace"), digest_size=16).digest()
    high, low = _HALVES.unpack(digest)
    return (high + 0.5) / 2.0**64, (low + 0.5) / 2.0**64


class BettingStep(NamedTuple):
    """The data of one event, except its scores, that a step of the sequential test needs."""

    #: Number and time of the event.
    event: int
    time: float
    #: Half-hour of the day; values are ranked among values of the same slot.
    slot: int
    #: Amount added to each sum: 1, or the days since the previous event.
    increment: float
    #: Uniform random number in (0, 1) that depends only on the event.
    draw: float


class RegionsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `ReferenceRegions`: lists by region; ``counts`` maps a half-hour to [values inside, all values]."""

    thresholds: list[float]
    home: list[int]
    counts: dict[int, list[list[int]]]
    sums: list[list[float]]
    recent: list[PackedObservation]


class ReferenceRegions:
    """The test of m regions: one Shiryaev-Roberts sum per region and bet, and one limit for their weighted average.

    Parameters
    ----------
    scores
        For each region the column of its score, (m,).
    signs
        For each region 1 if it contains large values, -1 if it contains small values, (m,).
    weights
        For each region its share of the alarm budget, (m,); the shares add up to at most one.
    ones
        For each region whether it contains the ones of a feature whose values are 0 or 1, (m,). Of n values, n_in are ones: the
        next value is a one with a probability of at most (n_in + 1) / (n + 1), with which the bet is made.
    limit
        Alarm limit of the weighted average of the sums.

    Notes
    -----
    State: two counts per region and half-hour, one sum per region and bet, and the last 160 observations. An update is
    a dozen operations on arrays of shape (2, m), about 15 µs for 30 regions.
    """

    def __init__(
        self, scores: NDArray[np.intp], signs: Floats, weights: Floats, ones: NDArray[np.bool_], *, limit: float
    ) -> None:
        self._scores, self._signs, self._ones, self.limit = scores, signs, ones, limit
        size = len(scores)
        self._weights = np.tile(weights / len(ODDS), (len(ODDS), 1))
        # From here on, only a one raises a sum of ones: neither zeros alone nor a single one may cause an alarm.
        self._bounds = np.where(ones, limit / (ODDS[-1] ** 2 * weights), np.inf) if ones.any() else None
        self._thresholds = np.full(size, np.inf)
        self._ready = np.zeros(size)
        self._reference_slots = np.full(size, -1, dtype=np.int64)
        self._counts: dict[int, Floats] = {}
        self._sums = np.zeros((len(ODDS), size))
        #: The half-hour (slot) of the references of all regions; -1 if the references are from several half-hours.
        self._common_slot = -1
        self._recent = RecentObservations(size)
        self.statistic = 0.0

    def begin(self, region: int, reference: Floats, slots: NDArray[np.int64], fraction: float) -> None:
        """Set a region's threshold so that it contains the most extreme reference values, with which its counts then start.

        Parameters
        ----------
        region
            Number of the region.
        reference, slots
            The reference values, (n,), and the half-hour of each, (n,).
        fraction
            Share of the reference values that are in the region, in (0, 1), at least one value; not used by a region of ones.
        """
        values = reference * self._signs[region]
        inside = max(1, round(fraction * (len(values) + 1)))
        threshold = np.sort(values)[-min(inside, len(values))]
        if self._ones[region]:
            threshold = ONE
        self._thresholds[region], self._ready[region] = threshold, 1.0
        for counts in self._counts.values():
            counts[:, region] = 0.0
        groups = sorted(set(slots.tolist()))
        self._reference_slots[region] = groups[0] if len(groups) == 1 else -1
        for slot in groups:
            counts = self._counts_of(slot)
            counts[0, region] += int((values[slots == slot] >= threshold).sum())
            counts[1, region] += int((slots == slot).sum())
        self._find_common_slot()

    def _find_common_slot(self) -> None:
        slots = {*self._reference_slots[self._ready > 0.0].tolist()}
        self._common_slot = slots.pop() if len(slots) == 1 else -1

    def renew(self, regions: NDArray[np.bool_]) -> None:
        """Reset the regions that the mask ``regions``, (m,), selects; each needs a new reference."""
        self._thresholds[regions], self._ready[regions], self._reference_slots[regions] = np.inf, 0.0, -1
        self._sums[:, regions] = 0.0
        self._recent.drop_regions(regions)  # `begin` resets the counts, so `forget` must not remove the old values
        self._find_common_slot()
        self._update_statistic()

    def _counts_of(self, slot: int) -> Floats:
        counts = self._counts.get(slot)
        if counts is None:
            counts = self._counts[slot] = np.zeros((2, len(self._scores)))
        return counts

    def wait(self, step: float) -> None:
        """Count an unused event: add the event's increment, ``step``, to every sum, and make no bet."""
        self._grow(step)
        self._update_statistic()

    def _grow(self, step: float) -> None:
        """Add an event's increment to the sums below their bounds; smaller sums make false alarms rarer."""
        added = self._ready if step == 1.0 else self._ready * step
        self._sums += added if self._bounds is None else added * (self._sums < self._bounds)

    def _update_statistic(self) -> None:
        self.statistic = float(np.vdot(self._weights, self._sums))

    def update(self, scores: Floats, step: BettingStep, *, alarm: bool) -> None:
        """Multiply the sums by the bets on an observation.

        If ``alarm`` is false, the bets are capped first, and the value is added to the counts afterwards.

        Parameters
        ----------
        scores
            Scores with ties broken; NaN for a missing score.
        step
            The observation's event number, time, half-hour, increment and random number.
        """
        values = scores[self._scores] * self._signs
        flags = np.empty((2, len(values)), dtype=np.bool_)
        np.greater_equal(values, self._thresholds, out=flags[0])
        seen = np.equal(values, values, out=flags[1])
        # `begin` counts the values of an incomplete reference, so `forget` must not remove them.
        seen &= self._ready > 0.0
        counts = self._counts_of(step.slot)
        share, won = self._chances(counts[0], counts[1], flags[0], step.draw, step.slot)
        share *= seen
        odds = _RAISED if alarm else self._cut(share, step.increment)
        bets = 1.0 / (1.0 + (odds - 1.0) * share)
        np.multiply(bets, odds, out=bets, where=won)
        self._grow(step.increment)
        self._sums *= bets
        self._update_statistic()
        if not alarm:
            counts += flags
        self._recent.append(step.event, step.time, step.slot, flags, learned=not alarm)

    def update_many(self, scores: Floats, looked: Sequence[bool], steps: Sequence[BettingStep]) -> tuple[int, float]:
        """Process events of one half-hour, as `update` and `wait` do, until a bet needs a cap or the limit is reached.

        Parameters
        ----------
        scores
            Scores of the k used events, (k, columns); NaN for a missing score.
        looked
            Whether each of the n events is used, (n,).
        steps
            One step per event, (n,).

        Returns
        -------
        tuple of int and float
            Number of processed events, and the highest statistic after any of them.
        """
        # Bets depend only on counts, and counts on which values are in a region, so all bets can be computed at once.
        counts, size = self._counts_of(steps[0].slot), len(self._scores)
        flags = np.empty((len(scores), 2, size), dtype=np.bool_)
        values = scores[:, self._scores] * self._signs
        np.greater_equal(values, self._thresholds, out=flags[:, 0])
        np.equal(values, values, out=flags[:, 1])
        draws = [step.draw for step, is_looked in zip(steps, looked, strict=True) if is_looked]
        bets = self._bets(counts, flags, np.array(draws), steps[0].slot)
        taken, read, highest = self._multiply(bets, looked, steps)
        if read:
            counts += flags[:read].sum(axis=0)
        learned = [step for step, is_looked in zip(steps[:taken], looked, strict=False) if is_looked]
        self._recent.extend([(step.event, step.time, step.slot) for step in learned], flags[:read])
        return taken, highest

    def _bets(self, counts: Floats, flags: NDArray[np.bool_], draws: Floats, slot: int) -> Floats:
        """Return the factor by which each observation multiplies each bet's sum, before the cap; shape (observations, bets, m)."""
        before = counts + np.cumsum(flags, axis=0) - flags  # whole numbers: exact
        share, won = self._chances(before[:, 0], before[:, 1], flags[:, 0], draws[:, None], slot)
        share *= flags[:, 1]
        bets: Floats = 1.0 / (1.0 + (_RAISED - 1.0) * share[:, None])
        np.multiply(bets, _RAISED, out=bets, where=won[:, None])
        return bets

    def _uncut_limit(self) -> float:
        """Return the highest average at which no bet is capped, minus a safety margin."""
        return _SAFETY * OVERSHOOT * self.limit / ODDS[-1]

    @property
    def batchable(self) -> bool:
        """Whether the next bet needs no cap, so that `update_many` can process it."""
        return self.statistic + 1.0 <= self._uncut_limit()

    def _multiply(self, bets: Floats, looked: Sequence[bool], steps: Sequence[BettingStep]) -> tuple[int, int, float]:
        """Apply the bets; return the numbers of processed events and of used ones, and the highest statistic."""
        uncut, sums = self._uncut_limit(), self._sums
        flat, weights = sums.reshape(-1), self._weights.reshape(-1)  # views: the sums are one block of memory
        statistic, taken, read, highest = self.statistic, 0, 0, 0.0
        for is_looked, step in zip(looked, steps, strict=True):
            if is_looked and statistic + step.increment > uncut:
                break
            self._grow(step.increment)
            if is_looked:
                sums *= bets[read]
                read += 1
            statistic = float(np.dot(weights, flat))
            highest = max(highest, statistic)
            taken += 1
            if statistic >= self.limit:
                break
        self.statistic = statistic
        return taken, read, highest

    def _chances(
        self, inside: Floats, all_values: Floats, won: NDArray[np.bool_], draws: Floats | float, slot: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Return each region's assumed probability, and whether the observation wins the bet; ``won`` is whether it is in the region.

        The probability is exact in the half-hour of the reference. In another half-hour with n values, n_in of them in
        the region, it is between n_in / (n + 1) and (n_in + 1) / (n + 1). With few values, the bet uses the upper bound. Else
        it uses the lower bound, and a value inside wins with probability n_in / (n_in + 1).
        """
        if slot == self._common_slot:
            return (inside + self._ones) / (all_values + 1.0), won
        exact = self._reference_slots == slot
        raised = ~exact & (all_values < FEW) | self._ones
        return (inside + raised) / (all_values + 1.0), won & (exact | raised | (draws * (inside + 1.0) < inside))

    def _cut(self, share: Floats, step: float) -> Floats:
        """Return capped odds, (bets, m), so that no value can raise the average above ``OVERSHOOT`` times the limit."""
        room = self.statistic + step
        if room * ODDS[-1] <= OVERSHOOT * self.limit:
            return _RAISED
        most = OVERSHOOT * self.limit / room
        spare = 1.0 - most * share
        cut: Floats = np.where(spare > 0.0, most * (1.0 - share) / np.maximum(spare, 1e-12), ODDS[-1])
        odds: Floats = np.minimum(_RAISED, np.maximum(cut, 1.0))
        return odds

    def parts(self, groups: NDArray[np.intp]) -> Floats:
        """Return the part of the statistic that each group of regions contributes; ``groups`` is the group of each region, (m,)."""
        parts = np.zeros(int(groups.max()) + 1)
        np.add.at(parts, groups, (self._weights * self._sums).sum(axis=0))
        return parts

    def cap(self, highest: float, groups: NDArray[np.intp]) -> None:
        """Scale the sums so that each group's part is at most ``highest``, to end an alarm soon after its cause ends.

        Each group is scaled by itself, so that a change in one group hides no change in another.
        """
        parts = self.parts(groups)
        if parts.max() > highest:
            self._sums *= (highest / np.maximum(parts, highest))[groups]
            self._update_statistic()

    def restart(self) -> None:
        """Set all sums to zero and drop the last observations, after an alarm: the next change begins after them.

        The mean time to a false alarm is then at least ``limit``, in events or days.
        """
        self._recent.clear()
        self._sums[:] = self.statistic = 0.0

    def leading(self, among: NDArray[np.bool_] | None = None) -> int:
        """Return the region that contributes most to the statistic, of all regions or of those that the mask ``among`` selects."""
        parts = (self._weights * self._sums).sum(axis=0)
        return int(np.argmax(parts if among is None else np.where(among, parts, -1.0)))

    def change(self, region: int) -> Change:
        """Return the change that most likely raised a region's share of values; see `RecentObservations.change`."""
        inside, seen = self.totals()[:, region].tolist()
        return self._recent.change(region, inside / max(1.0, seen))

    def totals(self) -> Floats:
        """Return for each region the number of learned values in it, and of all learned values, (2, m); 0 without a reference."""
        return self._ready * sum(self._counts.values(), start=np.zeros((2, len(self._scores))))

    def usual_share(self, region: int, slot: int) -> float:
        """Return the share of the values of a half-hour that are in the region, plus one standard error.

        A half-hour with few values has the share of all values. Without the standard error, an alarm could last for ever that
        is false because the share is underestimated.
        """
        inside, seen = self._counts_of(slot)[:, region].tolist()
        if seen < FEW:
            inside, seen = self.totals()[:, region].tolist()
        return float(min(seen, inside + math.sqrt(inside) + 1.0) / (seen + 1.0))

    def inside(self, region: int, scores: Floats) -> tuple[bool, bool]:
        """Return whether an observation is in the region, and whether it has the region's score."""
        value = scores[self._scores[region]] * self._signs[region]
        return bool(value >= self._thresholds[region]), not np.isnan(value)

    def forget(self, since: float) -> None:
        """Remove the observations since event ``since`` from the counts, so that changed values are not learned."""
        for slot, flags in self._recent.unlearn(since):
            self._counts_of(slot)[:] -= flags

    def snapshot(self) -> RegionsState:
        """Return an immutable copy of the state."""
        return RegionsState(
            thresholds=self._thresholds.tolist(),
            home=self._reference_slots.tolist(),
            counts={slot: self._counts[slot].astype(np.int64).tolist() for slot in sorted(self._counts)},
            sums=self._sums.tolist(),
            recent=self._recent.snapshot(),
        )

    def restore(self, state: RegionsState) -> None:
        """Continue from a snapshot; raise ValueError if the state has another number of regions or bets."""
        size, sums = len(self._scores), np.array(state.sums, dtype=np.float64)
        counts = {slot: np.array(rows, dtype=np.float64) for slot, rows in state.counts.items()}
        shapes = {sums.shape, *((len(ODDS), len(rows)) for rows in (state.thresholds, state.home))}
        if shapes != {self._sums.shape} or any(rows.shape != (2, size) for rows in counts.values()):
            raise ValueError(f"state of {len(state.thresholds)} regions; expected {size} regions and {len(ODDS)} bets")
        self._recent.restore(state.recent)
        self._thresholds = np.array(state.thresholds)
        self._ready = np.isfinite(self._thresholds).astype(np.float64)
        self._reference_slots = np.array(state.home, dtype=np.int64)
        self._counts, self._sums = counts, sums
        self._find_common_slot()
        self._update_statistic()
