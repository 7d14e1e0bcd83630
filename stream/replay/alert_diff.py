"""The difference between the alerts of two versions: alerts that appeared, vanished or moved.

Two alerts are the same if they have the same id, or opened in the same window of the same stream and detector. Of the
other alerts, one alert of each version can form a pair, if both have the same stream and detector and opened in nearby
windows. Such a pair is one alert that moved.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec

from stream.replay.timeline import ReplayedAlert
from stream.wire import stream_key


class MovedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that both versions raise, but differently: `changes` names ``opened``, ``severity`` or ``feature``."""

    changes: tuple[str, ...]
    before: ReplayedAlert
    after: ReplayedAlert


class Counts(msgspec.Struct, kw_only=True):
    """Numbers of alerts of one tenant and detector."""

    tenant: str
    detector: str
    appeared: int = 0
    vanished: int = 0
    moved: int = 0
    unchanged: int = 0


class AlertDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The alerts that differ, ordered by opening time; `by` has the numbers for each tenant and detector."""

    appeared: list[ReplayedAlert] = []
    vanished: list[ReplayedAlert] = []
    moved: list[MovedAlert] = []
    unchanged: int = 0
    by: list[Counts] = []

    @property
    def empty(self) -> bool:
        """Whether no alert differs."""
        return not (self.appeared or self.vanished or self.moved)


Pair = tuple[ReplayedAlert, ReplayedAlert]
Alerts = list[ReplayedAlert]


def compare(
    before: Iterable[ReplayedAlert],
    after: Iterable[ReplayedAlert],
    *,
    windows: int,
    counts: Callable[[ReplayedAlert], bool],
) -> AlertDiff:
    """Return the difference between the alerts `before` and the alerts `after`.

    Two alerts that open at most `windows` windows apart can be one alert that moved. `counts(alert)` returns whether an
    alert opened in the compared range. A matched pair is counted if at least one of its alerts opened in this range.
    """
    pairs: list[Pair] = []
    vanished: Alerts = []
    appeared: Alerts = []
    first, second = _by_stream(before), _by_stream(after)
    for key in sorted(first.keys() | second.keys()):
        matched, only_before, only_after = _matched(first[key], second[key], windows)
        pairs += [pair for pair in matched if counts(pair[0]) or counts(pair[1])]
        vanished += filter(counts, only_before)
        appeared += filter(counts, only_after)
    return _diff(pairs, sorted(vanished, key=_opening), sorted(appeared, key=_opening))


def _opening(alert: ReplayedAlert) -> tuple[float, str]:
    return alert.opened_at, alert.alert_id


def _by_stream(alerts: Iterable[ReplayedAlert]) -> defaultdict[str, Alerts]:
    streams: defaultdict[str, Alerts] = defaultdict(list)
    for alert in sorted(alerts, key=_opening):
        stream = stream_key(alert.tenant, alert.model, alert.side, alert.part, alert.model_version)
        streams[f"{stream}\x1f{alert.detector}"].append(alert)
    return streams


def _matched(before: Alerts, after: Alerts, windows: int) -> tuple[list[Pair], Alerts, Alerts]:
    """Return the pairs of matching alerts, and the alerts of each version without a match.

    Alerts with the same id are matched first, then those with the same window and feature, then those with the same
    window, and finally those in nearby windows, nearest first.
    """
    pairs: list[Pair] = []
    identities: tuple[Callable[[ReplayedAlert], object], ...] = (
        lambda alert: alert.alert_id,
        lambda alert: (alert.bucket, alert.bucket_seconds, alert.feature),
        lambda alert: (alert.bucket, alert.bucket_seconds),
    )
    for identity in identities:
        equal, before, after = _equal(before, after, identity)
        pairs += equal
    used: tuple[set[int], set[int]] = (set(), set())
    for left, right in _nearest_first(before, after, windows):
        if left not in used[0] and right not in used[1]:
            used[0].add(left)
            used[1].add(right)
            pairs.append((before[left], after[right]))
    return pairs, _without(before, used[0]), _without(after, used[1])


def _nearest_first(before: Alerts, after: Alerts, windows: int) -> Iterable[tuple[int, int]]:
    """Return (index in `before`, index in `after`) of alerts at most `windows` windows apart, nearest alerts first."""
    opened = [alert.opened_at for alert in after]
    widest = max((alert.bucket_seconds for alert in after), default=0.0)
    near = []
    for left, alert in enumerate(before):
        reach = (windows + 1) * max(alert.bucket_seconds, widest)
        candidates = range(bisect_left(opened, alert.opened_at - reach), bisect_right(opened, alert.opened_at + reach))
        near += [
            (abs(alert.opened_at - opened[right]), left, right)
            for right in candidates
            if _windows_apart(alert, after[right]) <= windows
        ]
    return ((left, right) for _, left, right in sorted(near))


def _windows_apart(first: ReplayedAlert, second: ReplayedAlert) -> float:
    """Return how many windows lie between two openings, 0 for the same window.

    After a change of `bucket_seconds`, the windows of recorded and replayed findings have different widths: then 0 for windows that overlap.
    """
    if first.bucket_seconds == second.bucket_seconds:
        return abs(first.bucket - second.bucket)
    starts = [alert.bucket * alert.bucket_seconds for alert in (first, second)]
    ends = [start + alert.bucket_seconds for start, alert in zip(starts, (first, second), strict=True)]
    gap = max(starts) - min(ends)
    return 0.0 if gap < 0 else 1.0 + gap // max(first.bucket_seconds, second.bucket_seconds)


def _equal(
    before: Alerts, after: Alerts, identity: Callable[[ReplayedAlert], object]
) -> tuple[list[Pair], Alerts, Alerts]:
    waiting: defaultdict[object, Alerts] = defaultdict(list)
    for alert in after:
        waiting[identity(alert)].append(alert)
    pairs, rest = [], []
    for alert in before:
        same = waiting[identity(alert)]
        if same:
            pairs.append((alert, same.pop(0)))
        else:
            rest.append(alert)
    paired = {other.alert_id for _, other in pairs}
    return pairs, rest, [alert for alert in after if alert.alert_id not in paired]


def _without(alerts: Alerts, indexes: set[int]) -> Alerts:
    return [alert for index, alert in enumerate(alerts) if index not in indexes]


def _changes(before: ReplayedAlert, after: ReplayedAlert) -> tuple[str, ...]:
    differ = {
        "opened": _windows_apart(before, after) > 0,
        "severity": before.severity != after.severity,
        "feature": before.feature != after.feature,
    }
    return tuple(name for name, differs in differ.items() if differs)


def _diff(pairs: list[Pair], vanished: Alerts, appeared: Alerts) -> AlertDiff:
    moved = [
        MovedAlert(changes=changes, before=before, after=after)
        for before, after in pairs
        if (changes := _changes(before, after))
    ]
    unchanged = [before for before, after in pairs if not _changes(before, after)]
    groups = {
        "appeared": appeared,
        "vanished": vanished,
        "moved": [item.before for item in moved],
        "unchanged": unchanged,
    }
    counted: dict[tuple[str, str], Counts] = {}
    for field, alerts in groups.items():
        for alert in alerts:
            key = (alert.tenant, alert.detector)
            counts = counted.setdefault(key, Counts(tenant=alert.tenant, detector=alert.detector))
            setattr(counts, field, getattr(counts, field) + 1)
    return AlertDiff(
        appeared=appeared,
        vanished=vanished,
        moved=sorted(moved, key=lambda item: _opening(item.after)),
        unchanged=len(unchanged),
        by=[counted[key] for key in sorted(counted)],
    )
