"""Accuracy of one model over event time, and the test whether the accuracy fell.

The input is the set of labelled answers, ordered by the event time of the answers. So labels that arrive late, twice or out
of order lead to the same result. The test begins after a reference, the first answers. It is an e-detector (Shin, Ramdas
and Rinaldo, arXiv 2203.03532): a mean of Shiryaev-Roberts sums ``R <- (R + 1) bet``, with the bets of Waudby-Smith and
Ramdas (arXiv 2010.09686), ``1 + bet_size (bound - value)``. While the accuracy is at least `bound` (that of the reference
minus its standard error and the margin), a bet has a mean of at most one. So the mean of the sums reaches N after a mean of
at least N labelled answers: at most one false alarm in N labelled answers.

The reference is a sample, and changes when labels expire in Kafka. Some of many references are higher than the true accuracy by
more than the margin, hence the standard error. Measured with 2,100 retained labels and an accuracy of .5: 3.9 false alarms in
10,000 labelled answers without the standard error, 0.7 with it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from stream.settings import AccuracySettings

#: Shares of the largest possible bet; with a share of 1, one correct answer would end all evidence.
_BETS = (0.1, 0.25, 0.5, 0.9)
#: A fall ends if the statistic is below this share of the limit.
_ENDED = 0.01
_EVIDENCE = 20
_WRONG = 0.5
#: Maximum number of API keys that an alert names; with more, its record would be too large for Kafka.
_PRINCIPALS = 32


class JudgedAnswer(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A labelled answer: `value` is the mean of its labels, in [0, 1]; `time` is the event time of the answer."""

    time: float
    request_id: str
    value: float
    principal: str = ""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy of the answers of one (tenant, model).

    `answers` counts labelled answers. `reference` is the accuracy of the first answers, or None while there are too few
    answers; `reference_until` is the event time of the last of the first answers. If the accuracy fell, `fell_at` is the
    event time of the first answer after the fall, and the other fields describe the answers from then on. `since` is their
    number and `accuracy` their accuracy. `wrong` is the number of wrong answers (value below 0.5), `evidence` has the
    requests of the newest wrong answers, `keys` is the number of their API keys, and `principals` is {API key: wrong
    answers} of the keys with the most. If the accuracy did not fall, `accuracy` is the accuracy of all answers.
    """

    answers: int
    accuracy: float
    reference: float | None = None
    reference_until: float = 0.0
    statistic: float = 0.0
    limit: float = 0.0
    fell_at: float | None = None
    since: int = 0
    wrong: int = 0
    evidence: tuple[str, ...] = ()
    keys: int = 0
    principals: dict[str, int] = {}


def accuracy_of(answers: Iterable[JudgedAnswer], settings: AccuracySettings) -> Accuracy:
    """Return the accuracy of `answers`, which must not be empty, and whether it has fallen and not recovered."""
    ordered = sorted(answers)
    overall = _mean(ordered)
    count = settings.reference_events
    limit = float(settings.alarm_every_events)
    first, later = ordered[:count], ordered[count:]
    found = Accuracy(answers=len(ordered), accuracy=overall, limit=limit, reference_until=first[-1].time)
    if not later:
        return found
    reference = _mean(first)
    error = math.sqrt(reference * (1.0 - reference) / count)  # at least that of any values in [0, 1] with this mean
    statistic, start = _test([one.value for one in later], reference - error - settings.margin, limit)
    found = msgspec.structs.replace(found, reference=reference, statistic=statistic)
    return found if start is None else _fallen(found, later[start:])


def _fallen(found: Accuracy, since: Sequence[JudgedAnswer]) -> Accuracy:
    wrong = [one for one in since if one.value < _WRONG]
    keys = Counter(one.principal for one in wrong if one.principal)
    return msgspec.structs.replace(
        found,
        accuracy=_mean(since),
        fell_at=since[0].time,
        since=len(since),
        wrong=len(wrong),
        evidence=tuple(one.request_id for one in wrong[-_EVIDENCE:]),
        keys=len(keys),
        principals=dict(keys.most_common(_PRINCIPALS)),
    )


def _test(values: Sequence[float], bound: float, limit: float) -> tuple[float, int | None]:
    """Return the statistic after the last value, and the index of the first value after the fall, or None.

    The fall begins at the last value before which the evidence of the deciding bet was lost (as in CUSUM).
    """
    if bound <= 0:
        return 0.0, None
    sizes = [share / (1.0 - bound) for share in _BETS] if bound < 1 else []
    sums, evidence, starts = [0.0] * len(sizes), [1.0] * len(sizes), [0] * len(sizes)
    fell: int | None = None
    statistic = 0.0
    for index, value in enumerate(values):
        for number, size in enumerate(sizes):
            bet = 1.0 + size * (bound - value)
            sums[number] = (sums[number] + 1.0) * bet
            if evidence[number] <= 1.0:
                evidence[number], starts[number] = 1.0, index
            evidence[number] *= bet
        statistic = sum(sums) / len(sums)
        if statistic >= limit:
            if fell is None:
                fell = starts[max(range(len(sums)), key=sums.__getitem__)]
            sums = [one * limit / statistic for one in sums]  # so that the fall ends soon after the accuracy recovers
            statistic = limit
        elif fell is not None and statistic < _ENDED * limit:
            fell = None
    return statistic, fell


def _mean(answers: Sequence[JudgedAnswer]) -> float:
    return sum(one.value for one in answers) / len(answers)
