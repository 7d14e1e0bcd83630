"""Evidence that the share of ones among zeros and ones, such as failed requests, is no longer raised.

Ones are rare: between two of them, an alarm's statistic falls below its limit although their share is still raised. So the alarm lasts
until a CUSUM (Page 1954) reaches `EVIDENCE`. It adds the log-likelihood ratio of the share before the change against the share since.
"""

from math import log
from typing import Final

import msgspec

#: If the share since the change were known, the evidence would reach this value by chance once in 1,000 events or less often.
EVIDENCE: Final = log(1_000)
#: The minimum multiple of the odds before the change that counts as raised. Otherwise nothing would end a false alarm, because its odds did not change.
RAISED: Final = 2.0
#: About this many of the last events are in the share of ones. With all events, a long small rise would hide a large one that follows.
RECENT: Final = 1_000.0
_LEAST: Final = 1e-3


class Recovery(msgspec.Struct, kw_only=True):
    """The share of ones `before` a change in a `column` of scores, the evidence, and the numbers of `ones` and `events` since.

    From `RECENT` events on, the two numbers are exponentially weighted.
    """

    column: int
    before: float
    ones: float
    events: float
    evidence: float = 0.0

    @property
    def share(self) -> float:
        """The share of ones since the change, or in about the last `RECENT` events of a longer one, in [0, 1]."""
        return self.ones / max(1.0, self.events)

    @property
    def complete(self) -> bool:
        """Whether the evidence suffices."""
        return self.evidence >= EVIDENCE

    def add(self, *, one: bool) -> None:
        """Add an event of the alarm."""
        kept = min(1.0, (RECENT - 1.0) / max(1.0, self.events))
        self.ones = kept * self.ones + one
        self.events = kept * self.events + 1.0
        low = min(max(self.before, _LEAST), 1.0 - 2.0 * _LEAST)
        least = RAISED * low / (1.0 + (RAISED - 1.0) * low)
        high = min(max(self.share, least), 1.0 - _LEAST)
        ratio = log(low / high) if one else log((1.0 - low) / (1.0 - high))
        self.evidence = max(0.0, self.evidence + ratio)
