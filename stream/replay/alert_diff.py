"""The diff of alerts between two versions: what appeared, what vanished, what moved.

Two alerts are the same where they have one id, or opened in one window of one stream and detector (design.md, decision 8). What
is left over is paired with the nearest of the same stream and detector within some windows: that one moved.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from stream.replay.timeline import ReplayedAlert
from stream.wire import stream_key

__all__ = ["Counts", "AlertDiff", "MovedAlert", "compare"]


class MovedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of both versions that differs: `changes` names ``opened``, ``severity`` or ``feature``."""

    changes: tuple[str, ...]
    before: ReplayedAlert
    after: ReplayedAlert


class Counts(msgspec.Struct, kw_only=True):
    """How many alerts of one tenant and detector differ, and how many do not (mutable: they are counted up)."""

    tenant: str
    detector: str
    appeared: int = 0
    vanished: int = 0
    moved: int = 0
    unchanged: int = 0


class AlertDiff(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that differ, in the order of their opening; `by` counts them by tenant and detector."""

    appeared: list[ReplayedAlert] = []
    vanished: list[ReplayedAlert] = []
    moved: list[MovedAlert] = []
    unchanged: int = 0
    by: list[Counts] = []

    @property
    def empty(self) -> bool:
        """Whether no alert differs."""
        return not (self.appeared or self.vanished or self.moved)


_Pair = tuple[ReplayedAlert, ReplayedAlert]


def compare(
    before: Iterable[ReplayedAlert],
    after: Iterable[ReplayedAlert],
    *,
    windows: int,
    counts: Callable[[ReplayedAlert], bool],
) -> AlertDiff:
    """Return how `after` differs from `before`.

    Parameters
    ----------
    before, after
        Alerts of the version that is compared against, and of the other.
    windows
        How many windows apart two alerts may open and still be one that moved.
    counts
        Whether an alert is to be compared. One that is not (it opened before the range) can still be what another moved from.
    """
    pairs: list[_Pair] = []
    lone: tuple[list[ReplayedAlert], list[ReplayedAlert]] = ([], [])
    first, second = _by_stream(before), _by_stream(after)
    for key in sorted(first.keys() | second.keys()):
        matched, left, right = _matched(first[key], second[key], windows)
        pairs += matched
        lone[0].extend(left)
        lone[1].extend(right)
    return _diff(
        [pair for pair in pairs if counts(pair[0]) or counts(pair[1])], *(_kept(side, counts) for side in lone)
    )


def _kept(side: list[ReplayedAlert], counts: Callable[[ReplayedAlert], bool]) -> list[ReplayedAlert]:
    return sorted((alert for alert in side if counts(alert)), key=_place)


def _place(alert: ReplayedAlert) -> tuple[float, str]:
    return alert.opened_at, alert.alert_id


def _by_stream(alerts: Iterable[ReplayedAlert]) -> defaultdict[str, list[ReplayedAlert]]:
    found: defaultdict[str, list[ReplayedAlert]] = defaultdict(list)
    for alert in sorted(alerts, key=_place):
        found[f"{stream_key(alert.tenant, alert.model, alert.side)}\x1f{alert.detector}"].append(alert)
    return found


def _matched(
    before: list[ReplayedAlert], after: list[ReplayedAlert], windows: int
) -> tuple[list[_Pair], list[ReplayedAlert], list[ReplayedAlert]]:
    """Pair the alerts of one stream and detector: by id, by window and feature, by window, then the nearest ones."""
    pairs: list[_Pair] = []
    for identity in (_id, _window_and_feature, _window):
        found, before, after = _equal(before, after, identity)
        pairs += found
    opened = [alert.opened_at for alert in after]
    near = [
        (abs(one.opened_at - opened[target]), place, target)
        for place, one in enumerate(before)
        for target in _around(opened, one, windows)
        if abs(one.bucket - after[target].bucket) <= windows
    ]
    used: tuple[set[int], set[int]] = (set(), set())
    for _, place, target in sorted(near):
        if place not in used[0] and target not in used[1]:
            used[0].add(place)
            used[1].add(target)
            pairs.append((before[place], after[target]))
    return pairs, _without(before, used[0]), _without(after, used[1])


def _around(opened: list[float], alert: ReplayedAlert, windows: int) -> range:
    """Return the places in `opened`, which is sorted, that can be so many windows from `alert`."""
    reach = (windows + 1) * alert.bucket_seconds
    return range(bisect_left(opened, alert.opened_at - reach), bisect_right(opened, alert.opened_at + reach))


def _equal(
    before: list[ReplayedAlert], after: list[ReplayedAlert], identity: Callable[[ReplayedAlert], object]
) -> tuple[list[_Pair], list[ReplayedAlert], list[ReplayedAlert]]:
    waiting: defaultdict[object, list[ReplayedAlert]] = defaultdict(list)
    for alert in after:
        waiting[identity(alert)].append(alert)
    pairs, left = [], []
    for alert in before:
        same = waiting[identity(alert)]
        if same:
            pairs.append((alert, same.pop(0)))
        else:
            left.append(alert)
    taken = {other.alert_id for _, other in pairs}
    return pairs, left, [alert for alert in after if alert.alert_id not in taken]


def _id(alert: ReplayedAlert) -> object:
    return alert.alert_id


def _window_and_feature(alert: ReplayedAlert) -> object:
    return alert.bucket, alert.feature


def _window(alert: ReplayedAlert) -> object:
    return alert.bucket


def _without(alerts: Sequence[ReplayedAlert], places: set[int]) -> list[ReplayedAlert]:
    return [alert for place, alert in enumerate(alerts) if place not in places]


def _changes(before: ReplayedAlert, after: ReplayedAlert) -> tuple[str, ...]:
    differ = {
        "opened": before.bucket != after.bucket,
        "severity": before.severity != after.severity,
        "feature": before.feature != after.feature,
    }
    return tuple(name for name, differs in differ.items() if differs)


def _diff(pairs: list[_Pair], vanished: list[ReplayedAlert], appeared: list[ReplayedAlert]) -> AlertDiff:
    moved = [
        MovedAlert(changes=changes, before=one, after=other) for one, other in pairs if (changes := _changes(one, other))
    ]
    counted: dict[tuple[str, str], Counts] = {}

    def of(alert: ReplayedAlert) -> Counts:
        key = (alert.tenant, alert.detector)
        return counted.setdefault(key, Counts(tenant=alert.tenant, detector=alert.detector))

    for alert in appeared:
        of(alert).appeared += 1
    for alert in vanished:
        of(alert).vanished += 1
    for before, after in pairs:
        if _changes(before, after):
            of(before).moved += 1
        else:
            of(before).unchanged += 1
    return AlertDiff(
        appeared=appeared,
        vanished=vanished,
        moved=sorted(moved, key=lambda item: _place(item.after)),
        unchanged=len(pairs) - len(moved),
        by=[counted[key] for key in sorted(counted)],
    )
