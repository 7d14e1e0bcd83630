"""Sequential tests of flagged answers: decisions that are valid after every event.

An *e-process* starts at one and is multiplied by a bet at each step. While the null hypothesis is true, a bet has a
mean of at most one. So the probability that the e-process ever reaches 1 / alpha is at most alpha (Ville's inequality).
The caller may evaluate after every event and stop at any time.

`TwoSampleTest` bets on *blocks*: k events of the champion and one of the challenger, or one and k. The bet is the
likelihood ratio between an alternative (a, b) and a null point (x, y). The alternative is estimated from earlier
blocks; the null point has the smallest Kullback-Leibler divergence from the alternative (Turner, Ly and Grünwald, arXiv
2106.02693; Turner and Grünwald, arXiv 2203.09785).

The bet is also valid if both rates change with time. With ``g = (a - x) / (x (1 - x))``, a champion event at rate p
multiplies the mean of the bet by ``1 + g (p - x)``, at most ``exp(g (p - x))``. So the mean of the bet is at most
``exp(k g (mean p - x) + h (q - y))``, where h and q belong to the challenger. This bound is at most one for each (mean
p, q) of a convex null, because (x, y) is the null point with the smallest divergence. Only the mean rates within a
block count.

The sizes of a block are fixed before its first event, and a block consists of the first events of each arm. The arm of
the next event may depend on all earlier events. Further events of an arm, before the block is complete, are used for
the estimates only.

The bets assume that an event's probability does not depend on other events of the block. The answers of one conversation
depend on each other, and later answers have other rates, but a block contains the first events of each arm. So count only
the first answer of a conversation.
"""

from math import exp, log
from typing import Final, Literal

import msgspec

Arm = Literal["champion", "challenger"]

#: Largest number of events of one arm in a block: a larger one adds little power, and takes longer to complete.
LARGEST_BLOCK: Final = 8
#: Weight of the last event in the recent share of the challenger's events.
SHARE_WEIGHT: Final = 0.05
#: Before the first event, a rate is estimated as `PRIOR_RATE`, with the weight of `PRIOR_EVENTS` events.
PRIOR_RATE, PRIOR_EVENTS = 0.05, 4.0
#: Before the first event, harm is estimated as a rate that is higher by `PRIOR_HARM`.
PRIOR_HARM: Final = 0.3
#: Estimated rates are at least `LEAST` and at most 1 - `LEAST`, so that one event never loses everything.
LEAST: Final = 0.002
#: Shares of the largest possible bet on one pair; the evidence of `PairedTest` is the mean over them.
BETS: Final = (0.25, 0.5, 0.75, 0.95)
_LARGEST_EXPONENT: Final = 700.0


class Counts(msgspec.Struct):
    """A number of events, and the number of flagged events."""

    events: int = 0
    flagged: int = 0

    def add(self, flagged: int, events: int = 1) -> None:
        """Add events."""
        self.events += events
        self.flagged += flagged

    def rate(self, prior: float = PRIOR_RATE) -> float:
        """Return the estimated rate in (0, 1)."""
        return _inside((self.flagged + prior * PRIOR_EVENTS) / (self.events + PRIOR_EVENTS))

    def log_ratio(self, alternative: float, null: float) -> float:
        """Return the logarithm of the likelihood ratio of these events."""
        unflagged = self.events - self.flagged
        return self.flagged * log(alternative / null) + unflagged * log((1 - alternative) / (1 - null))


class _Test(msgspec.Struct, kw_only=True):
    alpha: float
    log_harm: float = 0.0
    log_safe: float = 0.0

    @property
    def e_harm(self) -> float:
        """The evidence of harm; at least 1 / alpha with a probability of at most alpha if there is none."""
        return exp(min(self.log_harm, _LARGEST_EXPONENT))

    @property
    def e_safe(self) -> float:
        """The evidence of safety; at least 1 / alpha with a probability of at most alpha if it is not safe."""
        return exp(min(self.log_safe, _LARGEST_EXPONENT))


class RateTest(_Test):
    """Test whether the rate of flagged events is above `bound` (harm) or below it (safe), both in (0, 1)."""

    bound: float
    seen: Counts = msgspec.field(default_factory=Counts)

    def update(self, flagged: bool) -> None:  # noqa: FBT001 - the outcome of the event
        """Add an event."""
        event, rate = Counts(1, int(flagged)), self.seen.rate()
        self.log_harm += event.log_ratio(max(rate, self.bound), self.bound)
        self.log_safe += event.log_ratio(min(rate, self.bound), self.bound)
        self.seen.add(int(flagged))


class TwoSampleTest(_Test):
    """Test the challenger's rate of flagged events against the rate of the concurrent champion.

    Harm: the challenger's rate is higher than the champion's. Safe: the challenger's rate is lower than the champion's
    plus `margin`, in (0, 1). Each of the two wrong decisions has a probability of at most `alpha`, whenever the caller
    stops.
    """

    margin: float
    champion: Counts = msgspec.field(default_factory=Counts)
    challenger: Counts = msgspec.field(default_factory=Counts)
    share: float = 0.5
    sizes: tuple[int, int] = (1, 1)
    block: tuple[Counts, Counts] = msgspec.field(default_factory=lambda: (Counts(), Counts()))
    surplus: tuple[Counts, Counts] = msgspec.field(default_factory=lambda: (Counts(), Counts()))

    def update(self, arm: Arm, flagged: bool) -> None:  # noqa: FBT001 - the outcome of the event
        """Add an event of an arm, in any order of the arms."""
        index = int(arm == "challenger")
        self.share += SHARE_WEIGHT * (index - self.share)
        full = self.block[index].events >= self.sizes[index]
        (self.surplus if full else self.block)[index].add(int(flagged))
        if self.block[0].events == self.sizes[0] and self.block[1].events == self.sizes[1]:
            self._bet()

    def _bet(self) -> None:
        """Bet on the complete block, then learn from it and begin the next."""
        champion = self.champion.rate()
        harmed = self.challenger.rate(min(champion + PRIOR_HARM, 0.95))
        self.log_harm += self._log_bet(champion, harmed, 0.0)
        both = Counts(self.champion.events, self.champion.flagged)
        both.add(self.challenger.flagged, self.challenger.events)
        self.log_safe += self._log_bet(both.rate(), both.rate(), self.margin)
        for learned, used, left in zip((self.champion, self.challenger), self.block, self.surplus, strict=True):
            learned.add(used.flagged + left.flagged, used.events + left.events)
        odds = (1 - self.share) / self.share
        self.sizes = (
            max(1, min(LARGEST_BLOCK, round(odds))),
            max(1, min(LARGEST_BLOCK, round(1 / odds))),
        )
        self.block, self.surplus = (Counts(), Counts()), (Counts(), Counts())

    def _log_bet(self, champion: float, challenger: float, margin: float) -> float:
        """Return the logarithm of the block's bet; zero if the alternative is in the null.

        The null is ``challenger <= champion`` for a margin of zero, else ``challenger >= champion + margin``.
        """
        if (challenger <= champion) if margin == 0 else (challenger >= champion + margin):
            return 0.0
        null = _nearest(champion, challenger, self.sizes, margin)
        return self.block[0].log_ratio(champion, null) + self.block[1].log_ratio(challenger, null + margin)


class PairedTest(_Test):
    """Test the difference challenger - champion of two scores in [0, 1] of the same prompt, or of a bounded score.

    Harm: the mean difference is above zero. Safe: the mean difference is below `margin`, in (0, 1). A large score is
    bad. Each bet is ``1 + bet x difference`` (Waudby-Smith and Ramdas, arXiv 2010.09686).
    """

    margin: float
    pairs: int = 0
    total: float = 0.0
    harm: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS))
    safe: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS))

    def update(self, difference: float) -> None:
        """Add a pair; `difference` must be in [-1, 1], else raises ValueError."""
        if not -1 <= difference <= 1:
            raise ValueError(f"difference is {difference}: it must be in [-1, 1]")
        self.pairs += 1
        self.total += difference
        for index, bet in enumerate(BETS):
            self.harm[index] += log(1 + bet * difference)
            self.safe[index] += log(1 + bet * (self.margin - difference) / (1 - self.margin))
        self.log_harm, self.log_safe = _log_mean(self.harm), _log_mean(self.safe)

    @property
    def mean(self) -> float:
        """The mean difference so far, in [-1, 1]."""
        return self.total / self.pairs if self.pairs else 0.0


def least_pairs(margin: float, alpha: float) -> int:
    """Return the number of pairs without any difference that `PairedTest` needs as evidence of safety at `alpha`."""
    test = PairedTest(margin=margin, alpha=alpha)
    while test.log_safe < -log(alpha):
        test.update(0.0)
    return test.pairs


def _log_mean(logarithms: list[float]) -> float:
    largest = max(logarithms)
    return largest + log(sum(exp(value - largest) for value in logarithms) / len(logarithms))


def _nearest(champion: float, challenger: float, sizes: tuple[int, int], margin: float) -> float:
    """Return x of the null point (x, x + margin) with the smallest divergence from (champion, challenger)."""
    if margin == 0:
        return (sizes[0] * champion + sizes[1] * challenger) / (sizes[0] + sizes[1])
    least, most = sorted((champion, challenger - margin))
    low, high = max(least, 0.0), min(most, 1.0 - margin)
    for _ in range(30):
        middle = (low + high) / 2
        moved = middle + margin
        slope = sizes[0] * (middle - champion) / (middle * (1 - middle))
        slope += sizes[1] * (moved - challenger) / (moved * (1 - moved))
        low, high = (middle, high) if slope < 0 else (low, middle)
    return (low + high) / 2


def _inside(rate: float) -> float:
    return min(max(rate, LEAST), 1 - LEAST)
