"""The gates: conditions that must all be true before alerts cause a retraining request.

Why gates exist: drift detectors cannot distinguish real from adversarial drift, and one poisoned update can spoil a model. So an alert only proposes
retraining, and each gate can reject the proposal; a gate's reason states the found and the required value.
"""

from collections.abc import Collection, Sequence

import msgspec

from stream.count_text import count_text
from stream.settings import RetrainingSettings
from stream.stages.alert.evidence import PRINCIPALS
from stream.stages.retrain.state import FiringAlert, ModelState

_DRIFT = "drift"
_MOVED = "moved"


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one gate; if the gate failed, `reason` states the found and the required value."""

    name: str
    passed: bool
    reason: str


def evaluate(state: ModelState, at: float, settings: RetrainingSettings) -> list[Gate]:
    """Return the result of every gate at event time `at`; a request needs all gates to pass.

    Events, windows and principals are from all firing alerts of one (tenant, model), about prompts and answers. The
    gate `largest_share` uses the largest of the shares that one API key has in these sets of events:

    - the events of all alerts;
    - the events of the drift alerts;
    - the events of each further detector that `agreeing_alerts` requires. If more detectors agree than required, those
      in which one key has the smallest share count.

    So the gate fails if one API key causes most findings of a required detector.
    """
    alerts = list(state.alerts.firing.values())
    share = _largest_share(alerts, settings.agreeing_alerts)
    windows = max((alert.windows for alert in alerts), default=0)
    events = sum(alert.events for alert in alerts)
    keys, least = key_count(alerts)
    in_progress = state.requests.in_progress(at)
    moved = settings.sentinels and any(alert.sentinels == _MOVED for alert in alerts)
    return [
        _agree(alerts, settings.agreeing_alerts),
        _at_least("windows", "windows", windows, settings.windows),
        _at_least("events", "events", events, settings.events),
        _at_least("principals", "API keys", keys, settings.principals, least),
        Gate(
            name="largest_share",
            passed=share <= settings.largest_share,
            reason=f"largest share of one API key: has {share:.2f}, needs at most {settings.largest_share:.2f}",
        ),
        Gate(
            name="sentinels",
            passed=not moved,
            reason="answers to the fixed prompts: has a change, needs none; check the model first",
        ),
        _cool_down(state, at, settings.cool_down_seconds),
        Gate(
            name="in_flight",
            passed=not in_progress,
            reason=f"retraining in progress: has {in_progress}, needs none",
        ),
    ]


def key_count(alerts: Collection[FiringAlert]) -> tuple[int, str]:
    """Return the number of API keys that `alerts` name, and "at least " if an alert can have more keys than it names, else ""."""
    is_full = any(len(alert.principals) == PRINCIPALS for alert in alerts)
    return len({name for alert in alerts for name in alert.principals}), "at least " if is_full else ""


def _agree(alerts: Sequence[FiringAlert], needed: int) -> Gate:
    detectors = sorted({alert.detector for alert in alerts})
    more = needed - 1
    others = f" plus {count_text(more, 'other detector')}" if more else ""
    reason = f"needs {_DRIFT}{others}; firing: {', '.join(detectors) or 'none'}"
    return Gate(name="agree", passed=_DRIFT in detectors and len(detectors) >= needed, reason=reason)


def _at_least(name: str, label: str, value: int, needed: int, least: str = "") -> Gate:
    return Gate(name=name, passed=value >= needed, reason=f"{label}: has {least}{value}, needs {needed}")


def _cool_down(state: ModelState, at: float, needed: float) -> Gate:
    elapsed = None if state.requested is None else at - state.requested.at
    since = state.requested.retraining_id if state.requested else ""
    reason = f"cool-down: has {max(elapsed or 0.0, 0.0):.0f} s since {since}, needs {needed:.0f} s"
    return Gate(name="cool_down", passed=elapsed is None or elapsed >= needed, reason=reason)


def _largest_share(alerts: Sequence[FiringAlert], agreeing: int) -> float:
    shares = [_share(alerts)]
    drift = [alert for alert in alerts if alert.detector == _DRIFT]
    if drift:
        shares.append(_share(drift))
    others = sorted({alert.detector for alert in alerts} - {_DRIFT})
    best = sorted(_share([alert for alert in alerts if alert.detector == name]) for name in others)
    return max([*shares, *best[: agreeing - 1]])


def _share(alerts: Sequence[FiringAlert]) -> float:
    """Return the share of the most frequent principal in the events of `alerts`, or 1 if no principal is known."""
    counts: dict[str, int] = {}
    for alert in alerts:
        for name, count in alert.principals.items():
            counts[name] = counts.get(name, 0) + count
    total = max(sum(alert.events for alert in alerts), sum(counts.values()))
    return max(counts.values()) / total if counts else 1.0
