"""The evidence of a finding about a closed bucket: its requests, and its number of events per principal."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from stream.stages.watch.buckets import Held

__all__ = ["EVIDENCE", "PRINCIPALS", "principals", "strongest_evidence"]

EVIDENCE = 20
PRINCIPALS = 32


def strongest_evidence(held: Sequence[Held], feature: str) -> list[Held]:
    """Return at most 20 events, one per request: the events whose `feature` is furthest from its median.

    If no event has the feature, return the latest events.
    """
    latest = list(reversed(held))
    values = [item.observation.features[feature] for item in latest if feature in item.observation.features]
    if values:
        middle = median(values)
        measured = [item for item in latest if feature in item.observation.features]
        latest = sorted(measured, key=lambda item: -abs(item.observation.features[feature] - middle))
    by_request: dict[str, Held] = {}
    for item in latest:
        by_request.setdefault(item.request_id, item)
        if len(by_request) == EVIDENCE:
            break
    return list(by_request.values())


def principals(held: Sequence[Held]) -> dict[str, int]:
    """Return {principal: number of events} of the most frequent principals."""
    counts = Counter(item.observation.principal for item in held)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:PRINCIPALS])
