"""Label poisoning through feedback: API keys whose thumbs contradict the thumbs of all other keys on near-duplicate answers."""

from collections.abc import Iterable
from typing import Final

import msgspec

from stream.loop.sequential import RateTest

#: An honest key contradicts a clear majority in at most this share of the groups.
HONEST_RATE: Final = 0.25
#: A majority is clear if it has at least this many other keys, of which at least this share agrees.
LEAST_OTHERS: Final = 3
CLEAR: Final = 0.8


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """A thumb of an API key on an answer; `group` identifies the group of near duplicates of prompt and answer."""

    principal: str
    group: str
    up: bool


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A key that contradicts in `contradicted` of `compared` groups."""

    principal: str
    contradicted: int
    compared: int


def disagreeing_keys(votes: Iterable[Vote], alpha: float) -> list[Disagreement]:
    """Return the keys that contradict the clear majority of the other keys too often, sorted by name.

    A key has one vote in each group, the majority of its thumbs, so a flood of thumbs counts once. An honest key is
    named with a probability of at most `alpha`, over all keys together. The result does not depend on the order of the
    votes.
    """
    groups: dict[str, dict[str, int]] = {}
    for vote in votes:
        of_group = groups.setdefault(vote.group, {})
        of_group[vote.principal] = of_group.get(vote.principal, 0) + (1 if vote.up else -1)
    tests: dict[str, RateTest] = {}
    for group in sorted(groups):
        sides = {key: balance > 0 for key, balance in groups[group].items() if balance}
        up = sum(sides.values())
        for key in sorted(sides):
            others, others_up = len(sides) - 1, up - sides[key]
            if others < LEAST_OTHERS or max(others_up, others - others_up) / others < CLEAR:
                continue
            test = tests.setdefault(key, RateTest(bound=HONEST_RATE, alpha=alpha))
            test.update(sides[key] != (2 * others_up > others))
    bound = max(len(tests), 1) / alpha
    return [
        Disagreement(principal=key, contradicted=test.seen.flagged, compared=test.seen.events)
        for key, test in sorted(tests.items())
        if test.e_harm >= bound
    ]
