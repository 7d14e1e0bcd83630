"""Checks of a dataset against poisoning: absolute counts per API key and per answer, and contradicting ratings.

A few hundred documents suffice to plant a backdoor in a dataset of any size (arXiv 2510.07192), so the bounds are
counts and not shares. Weir's curator applies the same bounds; the gate checks the files of any curator.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from stream.loop.dataset.near_duplicates import leaders
from stream.loop.dataset.rows import Row
from stream.loop.gate.machine import Finding
from stream.loop.settings import DatasetSettings
from stream.loop.votes import Vote, disagreeing_keys

#: In the id of a copy that augmentation made.
_COPY = "#"


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
    votes = [
        Vote(principal=row.principal, group=str(group), up=bool(row.label))
        for row, group in zip(thumbs, leaders(exchanges, settings.near_duplicate), strict=True)
    ]
    return [
        Finding(
            check="ratings against all other API keys",
            name=one.principal,
            count=one.contradicted,
            bound=round(one.compared / 4),
        )
        for one in disagreeing_keys(votes, alpha)
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
