"""The gates between alerts and a retraining request.

Why this exists: drift detectors cannot tell real drift from adversarial drift, and one poisoned update can spoil a model. So
an alert only proposes, and each gate can say no, with the value that it saw and the bound that it holds it against.
"""

from collections.abc import Sequence

import msgspec

from stream.settings import RetrainingSettings
from stream.stages.retrain.state import FiringAlert, ModelState

__all__ = ["Gate", "evaluate"]

_DRIFT = "drift"
_MOVED = "moved"


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's answer; `reason` states value and bound where it says no."""

    name: str
    passed: bool
    reason: str


def evaluate(state: ModelState, at: float, settings: RetrainingSettings) -> list[Gate]:
    """Return every gate's answer at log time `at`; a request needs all of them.

    Events, windows and principals are those of the firing alerts of one (tenant, model), prompts and answers together. The
    largest share of one API key is the worst of: all events together, drift's alone, and the best of the others' alone; a
    key that floods one detector is no second opinion.
    """
    alerts = list(state.firing.values())
    share = _largest_share(alerts, settings.agreeing_alerts)
    windows = max((alert.windows for alert in alerts), default=0)
    events = sum(alert.events for alert in alerts)
    principals = len({name for alert in alerts for name in alert.principals})
    return [
        _agree(alerts, settings.agreeing_alerts),
        _at_least("windows", windows, settings.windows),
        _at_least("events", events, settings.events),
        _at_least("principals", principals, settings.principals),
        Gate(
            name="largest_share",
            passed=share <= settings.largest_share,
            reason=f"largest_share: {share:.2f} of the events are of one API key, at most {settings.largest_share:.2f}",
        ),
        Gate(
            name="sentinels",
            passed=not settings.sentinels or all(alert.sentinels != _MOVED for alert in alerts),
            reason="sentinels: the fixed prompts moved too: look at the model first",
        ),
        _cool_down(state, at, settings.cool_down_seconds),
        Gate(
            name="in_flight",
            passed=not state.in_flight,
            reason=f"in_flight: {state.requested_id} has not ended, one at a time",
        ),
    ]


def _agree(alerts: Sequence[FiringAlert], needed: int) -> Gate:
    detectors = sorted({alert.detector for alert in alerts})
    passed = _DRIFT in detectors and len(detectors) >= needed
    firing = ", ".join(detectors) or "none"
    reason = f"agree: {len(detectors)} of {needed} detectors ({firing}), drift must be among them"
    return Gate(name="agree", passed=passed, reason=reason)


def _at_least(name: str, value: int, bound: int) -> Gate:
    return Gate(name=name, passed=value >= bound, reason=f"{name}: {value}, at least {bound} needed")


def _cool_down(state: ModelState, at: float, bound: float) -> Gate:
    elapsed = None if state.requested_at is None else at - state.requested_at
    passed = elapsed is None or elapsed >= bound
    reason = f"cool_down: {elapsed or 0:.0f} s since {state.requested_id}, at least {bound:.0f} s needed"
    return Gate(name="cool_down", passed=passed, reason=reason)


def _largest_share(alerts: Sequence[FiringAlert], agreeing: int) -> float:
    shares = [_share(alerts)]
    drift = [alert for alert in alerts if alert.detector == _DRIFT]
    if drift:
        shares.append(_share(drift))
    others = sorted({alert.detector for alert in alerts} - {_DRIFT})
    best = sorted(_share([alert for alert in alerts if alert.detector == name]) for name in others)
    needed = max(agreeing - 1, 1)
    shares += best[:needed][-1:]
    return max(shares)


def _share(alerts: Sequence[FiringAlert]) -> float:
    """Return the largest share of one principal in the events of `alerts`; 1 where nothing is known."""
    counts: dict[str, int] = {}
    for alert in alerts:
        for name, count in alert.principals.items():
            counts[name] = counts.get(name, 0) + count
    total = max(sum(alert.events for alert in alerts), sum(counts.values()))
    return max(counts.values()) / total if counts else 1.0
