"""A higher threshold for the alerts of a text detector, proposed from reviews of its alerts.

Reviews are about alerts that fired, so the precision below the present threshold is unknown, and a proposal is never
lower. `recall` is the share of the right alerts of the present threshold that would still fire.
"""

import math
from collections.abc import Sequence

import msgspec

from stream.count_text import count_text
from stream.ledger.queries.proportion import wilson
from stream.ledger.queries.reviews import ReviewedAlert

#: With fewer reviewed alerts, no threshold is proposed.
LEAST_REVIEWS = 30
#: Minimum number of reviewed alerts that reach a proposed threshold.
LEAST_ABOVE = 10
#: Maximum number of thresholds that are compared.
_CANDIDATES = 20
_ALPHA = 0.05
#: Thresholds are rounded down to this fraction.
_STEPS = 10_000


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """Expected precision and recall of a threshold, which `alerts` reviewed alerts reach; `right` of these alerts are right.

    `precision` is the share of right alerts. `recall` is the share of the right alerts at the present threshold that
    still fire. The other fields are the bounds of their 95 % intervals. All shares are in [0, 1].
    """

    threshold: float
    alerts: int
    right: int
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold of a tenant's alerts of one detector, now and as proposed for precision `target`.

    `reviews` is the number of reviewed alerts, `disputed` the number of these alerts on which reviewers disagree, and
    `reviewers` the number of people and keys that reviewed them. If `proposed` is None, `reason` states why.
    """

    tenant: str
    detector: str
    target: float
    reviews: int
    reviewers: int
    disputed: int = 0
    present: Expectation | None = None
    proposed: Expectation | None = None
    reason: str = ""


def propose(
    tenant: str, detector: str, reviewed: Sequence[ReviewedAlert], *, present: float, target: float
) -> Proposal:
    """Propose the lowest threshold above `present` at which the share of right alerts is at least `target`, in (0, 1].

    The interval of a proposal is Wilson's with Bonferroni's correction for the number of compared thresholds, because
    the same reviews choose the threshold. The thresholds depend on the scores and not on the labels.
    """
    base = [alert for alert in reviewed if alert.score >= present]
    known = unproposed(tenant, detector, base, target=target)
    if len(base) < LEAST_REVIEWS:
        have = f"{count_text(len(base), 'alert is', 'alerts are')} reviewed"
        if len(base) < len(reviewed):
            have = f"{len(base)} of {count_text(len(reviewed), 'reviewed alert')} reached the present threshold {present:g}"
        reason = f"{have}, a proposal needs {LEAST_REVIEWS}"
        return msgspec.structs.replace(known, reason=reason)
    now = msgspec.structs.replace(_expectation(base, present, _ALPHA), recall=1.0, recall_low=1.0, recall_high=1.0)
    known = msgspec.structs.replace(known, present=now)
    if now.precision >= target:
        return msgspec.structs.replace(
            known, reason=f"the present threshold reaches the target {_percent(target)}: {_share(now)} are right"
        )
    candidates = _candidates(base, present)
    found = [_expectation(base, threshold, _ALPHA / len(candidates)) for threshold in candidates]
    proposed = next((one for one in found if one.precision >= target), None)
    if proposed is not None:
        return msgspec.structs.replace(known, proposed=proposed)
    best = max(found, key=lambda one: one.precision, default=now)
    reason = (
        f"no threshold that {LEAST_ABOVE} reviewed alerts reach has a precision of {_percent(target)}; "
        f"the highest is {_share(best)}, at {best.threshold:g}"
    )
    return msgspec.structs.replace(known, reason=reason)


def unproposed(
    tenant: str, detector: str, reviewed: Sequence[ReviewedAlert], *, target: float, reason: str = ""
) -> Proposal:
    """Return a proposal that has the counts of the reviewed alerts, but no threshold."""
    return Proposal(
        tenant=tenant,
        detector=detector,
        target=target,
        reviews=len(reviewed),
        reviewers=len({name for alert in reviewed for name in (alert.by, *alert.reviewers)}),
        disputed=sum(alert.disputed for alert in reviewed),
        reason=reason,
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _share(expected: Expectation) -> str:
    """Return a precision as numbers of alerts, because a rounded percentage can be equal to a target that it misses."""
    return f"{expected.right} of {expected.alerts} alerts"


def _candidates(base: Sequence[ReviewedAlert], present: float) -> list[float]:
    """Return at most 20 thresholds above `present`, evenly spaced by rank; at least 10 alerts reach each."""
    ranked = sorted((alert.score for alert in base), reverse=True)
    reached = sorted({_rounded_down(score) for score in ranked[LEAST_ABOVE - 1 :]} - {_rounded_down(present)})
    usable = [threshold for threshold in reached if threshold > present]
    step = max(1, math.ceil(len(usable) / _CANDIDATES))
    return usable[::-1][::step][::-1]


def _rounded_down(score: float) -> float:
    return math.floor(score * _STEPS) / _STEPS


def _expectation(base: Sequence[ReviewedAlert], threshold: float, alpha: float) -> Expectation:
    labels = [alert.right for alert in base if alert.score >= threshold]
    right, all_right = sum(labels), sum(alert.right for alert in base)
    precision_low, precision_high = wilson(right, len(labels), alpha)
    recall_low, recall_high = wilson(right, all_right, alpha) if all_right else (0.0, 1.0)
    return Expectation(
        threshold=threshold,
        alerts=len(labels),
        right=right,
        precision=right / len(labels),
        precision_low=precision_low,
        precision_high=precision_high,
        recall=right / all_right if all_right else 0.0,
        recall_low=recall_low,
        recall_high=recall_high,
    )
