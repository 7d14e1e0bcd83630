"""Evidence that the share of values in a region is no longer raised, such as the share of failed requests.

An alarm's statistic falls below its limit while a change lasts: between two failed requests, or if half of the traffic did not change. So the
alarm lasts until there is evidence that the share is as usual again. The evidence is the logarithm of a generalised likelihood ratio: a raised share
until some event and the usual share since then, against one raised share of all events since the change.
"""

from math import log
from typing import Final, Self

import msgspec

#: While a change lasts, the evidence reaches this value by chance about once in 10,000 events or less often.
EVIDENCE: Final = log(10_000)
#: The minimum multiple of the usual odds that counts as raised. With a smaller one, false alarms last longer, because their odds did not change;
#: with a larger one, an alarm about a small change ends while the change lasts.
RAISED: Final = 2.5
#: About this many of the last events are in the raised share. With all events, a long small rise would hide a large one that follows.
RECENT: Final = 1_000.0
#: The raised share is estimated as if so many usual events were part of it, because the first events of an alarm are its most extreme ones.
USUAL: Final = 2.0
_LEAST: Final = 1e-3


class Part(msgspec.Struct, frozen=True):
    """The numbers of ``events``, of ``ones`` among them, and of ones that are ``usual`` in their half-hours of the day."""

    ones: float = 0.0
    usual: float = 0.0
    events: float = 0.0

    def __add__(self, other: Self) -> "Part":
        return Part(ones=self.ones + other.ones, usual=self.usual + other.usual, events=self.events + other.events)

    def bounded(self) -> "Part":
        """Return this part with at most `RECENT` events and equal shares."""
        kept = min(1.0, RECENT / max(1.0, self.events))
        return Part(ones=kept * self.ones, usual=kept * self.usual, events=kept * self.events)

    @property
    def ratio(self) -> float:
        """The odds of a one divided by the usual odds, at least `RAISED`."""
        return max(RAISED, _odds(self.ones / max(1.0, self.events)) / _odds(self.usual / max(1.0, self.events)))

    def log_likelihood(self, ratio: float) -> float:
        """Return the log-likelihood of the ones if the usual odds are multiplied by ``ratio``."""
        usual = _inside(self.usual / max(1.0, self.events))
        share = _inside(ratio * usual / (1.0 + (ratio - 1.0) * usual))
        return self.ones * log(share) + (self.events - self.ones) * log(1.0 - share)


class Recovery(msgspec.Struct):
    """The evidence about the values in a ``region``: ``raised`` since the change, ``last`` as usual, as far as there is evidence of it."""

    region: int
    raised: Part
    last: Part = Part()
    #: The logarithm of the likelihood ratio; see the module.
    evidence: float = 0.0

    @property
    def share(self) -> float:
        """The share of ones since the change, or in about the last `RECENT` events of a longer one, in [0, 1]."""
        since = self.raised + self.last
        return since.ones / max(1.0, since.events)

    def _evidence(self) -> float:
        usual = USUAL * self.raised.usual / max(1.0, self.raised.events)
        raised = self.raised + Part(ones=usual, usual=usual, events=USUAL)
        ratio = (raised + self.last).ratio
        recovered = raised.log_likelihood(raised.ratio) + self.last.log_likelihood(1.0)
        return recovered - raised.log_likelihood(ratio) - self.last.log_likelihood(ratio)

    @property
    def complete(self) -> bool:
        """Whether the evidence suffices."""
        return self.evidence >= EVIDENCE

    def add(self, *, one: bool, usual: float) -> None:
        """Add an event of the alarm; ``usual`` is the share of ones in its half-hour before the change."""
        self.last += Part(ones=float(one), usual=usual, events=1.0)
        self.evidence = self._evidence()
        if self.evidence <= 0.0:
            self.raised, self.last = (self.raised + self.last).bounded(), Part()


def _inside(share: float) -> float:
    return min(max(share, _LEAST), 1.0 - _LEAST)


def _odds(share: float) -> float:
    return _inside(share) / (1.0 - _inside(share))
