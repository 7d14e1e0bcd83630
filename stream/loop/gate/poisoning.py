"""Checks of a dataset against poisoning: absolute counts per API key and per answer, and contradicting ratings.

A few hundred documents suffice to plant a backdoor in a dataset of any size (arXiv 2510.07192), so the bounds are
counts and not shares. Weir's curator applies the same bounds; the gate checks the files of any curator.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from stream.loop.dataset.near_duplicates import leaders
from stream.loop.dataset.rows import Row
from stream.loop.gate.machine import Finding
from stream.loop.sequential import Counts, RateTest
from stream.loop.settings import DatasetSettings

#: An honest key contradicts a clear majority in at most this share of the groups.
_HONEST_RATE: Final = 0.25
#: A majority is clear if it has at least this many other keys, of which at least this share agrees.
_LEAST_OTHERS, _CLEAR = 3, 0.8
#: In the id of a copy that augmentation made.
_COPY = "#"


class Vote(NamedTuple):
    """A rating of an API key; `group` is the number of the group of near duplicates of prompt and answer."""

    principal: str
    group: int
    up: bool


def poisoning(rows: Sequence[Row], settings: DatasetSettings, *, alpha: float) -> list[Finding]:
    """Return the bounds that the rows exceed, and the keys whose ratings contradict the ratings of the other keys.

    Copies that augmentation made are not counted. Replayed rows count for the bounds, but not as API keys, because their reviews
    are old.
    """
    rows = [row for row in rows if _COPY not in row.id]
    found = [
        Finding(check="rows of one API key", name=key, count=count, bound=settings.max_per_principal)
        for key, count in sorted(Counter(row.principal for row in rows).items())
        if count > settings.max_per_principal
    ]
    new = [row for row in rows if row.source != "replay"]
    keys = len({row.principal for row in new})
    if new and keys < settings.min_principals:
        found.append(Finding(check="too few API keys", name="dataset", count=keys, bound=settings.min_principals))
    return [*found, *_planted_answers(rows, settings), *_contradictions(new, settings, alpha)]


def _planted_answers(rows: Sequence[Row], settings: DatasetSettings) -> list[Finding]:
    """Return the answers that are targets more often than `max_per_answer`; an answer is named by a digest.

    Groups depend on the order of the rows. The similarity is higher than the curator's, so that all answers of a group
    are near duplicates of each other for the curator too.
    """
    targets = [row for row in rows if row.wanted]
    groups: dict[int, list[Row]] = defaultdict(list)
    similarity = (1 + settings.near_duplicate) / 2
    for row, leader in zip(targets, leaders([row.completion for row in targets], similarity), strict=True):
        groups[leader].append(row)
    return [
        Finding(
            check="near-duplicate answers",
            name=f"answer {_digest(members[0].completion)} of {len({row.principal for row in members})} API keys",
            count=len(members),
            bound=settings.max_per_answer,
        )
        for members in groups.values()
        if len(members) > settings.max_per_answer
    ]


def _contradictions(rows: Sequence[Row], settings: DatasetSettings, alpha: float) -> list[Finding]:
    thumbs = [row for row in rows if row.source == "thumb" and row.label is not None]
    exchanges = [f"{row.question}\n{row.completion}" for row in thumbs]
    groups = leaders(exchanges, settings.near_duplicate)
    votes = [Vote(row.principal, group, bool(row.label)) for row, group in zip(thumbs, groups, strict=True)]
    return [
        Finding(
            check="ratings against all other API keys",
            name=key,
            count=counts.flagged,
            bound=round(counts.events * _HONEST_RATE),
        )
        for key, counts in disagreeing_keys(votes, alpha).items()
    ]


def disagreeing_keys(votes: Iterable[Vote], alpha: float) -> dict[str, Counts]:
    """Return the keys that contradict the clear majority of the other keys too often, sorted: {key: compared and contradicted groups}.

    A key has one vote in each group, the majority of its ratings, so a flood of ratings counts once. An honest key is
    named with a probability of at most `alpha`, over all keys together. The result does not depend on the order of the
    votes.
    """
    groups: dict[int, Counter[str]] = defaultdict(Counter)
    for vote in votes:
        groups[vote.group][vote.principal] += 1 if vote.up else -1
    tests: dict[str, RateTest] = {}
    for group in sorted(groups):
        sides = {key: balance > 0 for key, balance in groups[group].items() if balance}
        up = sum(sides.values())
        for key in sorted(sides):
            others, others_up = len(sides) - 1, up - sides[key]
            if others < _LEAST_OTHERS or max(others_up, others - others_up) / others < _CLEAR:
                continue
            test = tests.setdefault(key, RateTest(bound=_HONEST_RATE, alpha=alpha))
            test.update(sides[key] != (2 * others_up > others))
    bound = max(len(tests), 1) / alpha
    return {key: test.seen for key, test in sorted(tests.items()) if test.e_harm >= bound}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
