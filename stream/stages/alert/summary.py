"""The summary of an alert: the event, its model and tenant, its start and its size; never a prompt's text."""

from collections.abc import Iterator, Mapping

from detectors.base import AlertText
from detectors.registry import alert_text
from detectors.streams.anomaly import SLOW_SECONDS
from detectors.streams.bias import PAIRED_TERMS
from detectors.streams.tool_mix import NAMED_TOOL
from stream.count_text import count_text
from stream.runbook import SILENCE
from stream.score_text import percent_text, score_text
from stream.stages.alert.evidence import PRINCIPALS
from stream.stages.alert.state import Evidence, OpenAlert, StreamAlerts
from stream.wire import SentinelRecord, format_time

_CLUSTERS, _EMBEDDING = "topics", "embedding"
_TEXTS = {"input": "prompts", "output": "answers", "tool_result": "tool results"}
_SIDES = {"input": "prompts to", "output": "answers of"}
_VERBS = {1.0: "rose", -1.0: "fell"}
_SHARES = {"score_refusal": "refusals", "score_toxicity": "toxic answers"}
_DAY_SECONDS = 86_400


def summary(
    state: StreamAlerts, name: str, alert: OpenAlert, evidence: Evidence, sentinel: SentinelRecord | None
) -> str:
    """Return the summary of the firing alert of detector `name`; if given, `sentinel` (fixed prompts) is mentioned."""
    parts = _inactive_source(alert, evidence) if name == SILENCE else _finding(state, name, alert, evidence)
    return ". ".join((*parts, *_sentinel(sentinel, alert))) + "."


def _finding(state: StreamAlerts, name: str, alert: OpenAlert, evidence: Evidence) -> Iterator[str]:
    text = alert_text(name) or AlertText(subject=name, runbook="")
    # While the alert fires, the detector's newest estimate of the change can be later than the alert.
    since = clock(min(evidence.details.get("changed_at") or alert.opened_at, alert.opened_at), alert.at)
    least = "at least " if len(evidence.principals) >= PRINCIPALS else ""
    keys = f"{least}{count_text(len(evidence.principals), 'API key')}"
    texts = state.part if state.part in _TEXTS else state.side
    if evidence.feature:
        what = (
            change(evidence.feature, texts, evidence.details)
            or text.meaning
            or f"{evidence.feature} differs from the reference"
        )
        subject = f"{_TEXTS[texts][:-1]} {text.subject}" if texts in _TEXTS else text.subject
        yield f"{subject[:1].upper()}{subject[1:]} on {state.model}: {what}"
        yield f"Since {since}. The alerting windows have {count_text(evidence.events, 'event')} of {keys}"
        yield f"Statistic {number(evidence.statistic)}, limit {number(evidence.limit)}"
        if others := [name for name in evidence.features if name != evidence.feature]:
            yield f"Earlier alarms of this alert: {', '.join(others)}"
    else:
        where = f"{_SIDES.get(state.side, state.side)} {state.model}"
        found = f"{count_text(evidence.count, 'finding')}, highest score {score_text(evidence.score)}"
        yield f"{text.subject[:1].upper()}{text.subject[1:]} in {where}: {found}"
        yield f"Since {since}, {keys}"
    yield f"Tenant {state.tenant}"


def change(feature: str, side: str, details: Mapping[str, float]) -> str:
    """Return the clause that states which change a stream detector found, or "" if `details` lack the numbers.

    `side` is ``input``, ``output`` or ``tool_result``.
    """
    if terms := next((name for name in details if name.startswith(PAIRED_TERMS)), ""):
        return _pair_change(feature, terms.removeprefix(PAIRED_TERMS), details)
    texts = f"recent {_TEXTS.get(side, 'events')}"
    if feature == _CLUSTERS and "topic_since" in details:
        before, now = details["topic_since_share_before"], details["topic_since_share"]
        return f"cluster {details['topic_since']:.0f} has {percent_text(now)} of {texts} (reference {percent_text(before)})"
    if feature == _EMBEDDING and "share_since" in details:
        share, expected = percent_text(details["share_since"]), percent_text(details["share_before"])
        return f"{share} of {texts} are outside the reference region (expected {expected})"
    if SLOW_SECONDS in details:
        share, expected = percent_text(details["recent_mean"]), percent_text(details["reference_mean"])
        return f"{share} of {texts} took {details[SLOW_SECONDS]:.3g} s or longer (reference {expected})"
    if "recent_mean" in details and "reference_mean" in details:
        rises = details["recent_mean"] > details["reference_mean"]
        direction = details.get(
            "direction", 0.0
        )  # the change of most values; a few extreme values can move the mean the other way
        verb = _VERBS[direction] if direction in _VERBS and rises == (direction > 0) else "changed"
        tools = [name.removeprefix(NAMED_TOOL) for name in details if name.startswith(NAMED_TOOL)]
        what = f"calls of {', '.join(tools)} ({feature})" if tools else feature
        return f"{what} {verb} to {_means(details)}"
    return ""


def _means(details: Mapping[str, float]) -> str:
    """State the recent mean and that of the reference, with the spread of single values."""
    recent, reference = f"{details['recent_mean']:.3g}", f"{details['reference_mean']:.3g}"
    if "reference_factor" in details:
        factor = f"{details['reference_factor']:.3g}"
        return f"a geometric mean of {recent} (reference: {reference}, most values within a factor of {factor})"
    if "reference_deviation" in details:
        deviation = f"{details['reference_deviation']:.3g}"
        return f"a mean of {recent} (reference: mean {reference}, standard deviation {deviation})"
    return f"{recent} (reference {reference})"


def _pair_change(feature: str, terms: str, details: Mapping[str, float]) -> str:
    """State the size of a difference between answers to paired prompts; `terms` is GROUP.REFERENCE.COMPARED."""
    group, reference, compared = terms.split(".")
    before, now = details["reference_term_mean"], details["compared_term_mean"]
    if feature in _SHARES:
        size = f"{percent_text(now)} {_SHARES[feature]} instead of {percent_text(before)}"
    else:
        relative = f" ({100 * (now / before - 1):+.0f} %)" if feature == "words" and before else ""
        size = f"{feature} {now:.3g} instead of {before:.3g}{relative}"
    pairs = count_text(int(details["pairs"]), "pair")
    return f"with {compared!r} in the prompt instead of {reference!r} ({group}): {size}, {pairs}"


def _inactive_source(alert: OpenAlert, evidence: Evidence) -> Iterator[str]:
    last = clock(evidence.last_time - evidence.statistic, alert.at)
    behind = f"{evidence.statistic:.0f} s behind the other sources (limit {evidence.limit:.0f} s)"
    if evidence.details.get("told", 0.0) > evidence.details.get("told_before", 0.0):
        yield f"Source {evidence.feature} is late: its last event time is {last}, {behind}"
        yield "It still sends: its shipper delivers a backlog, or its clock is behind; its events are not in the windows"
        return
    yield f"Source {evidence.feature} is inactive: its last event time is {last}, {behind}"
    yield "Its gateway or its shipper has stopped, or its clock is behind; its events are not in the windows"


def _sentinel(note: SentinelRecord | None, alert: OpenAlert) -> Iterator[str]:
    """State whether the answers to fixed prompts changed too; if so, the inputs alone do not explain the drift."""
    if note is not None and note.moved:
        yield "The answers to the fixed prompts changed too: check the model and its serving first"
    elif note is not None:
        yield f"The answers to the fixed prompts are unchanged (until {clock(note.at, alert.at)}): the inputs changed"


def number(value: float) -> str:
    """Return `value` with four significant digits, or, if it is 1,000 or more, as a whole number."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def clock(seconds: float, near: float) -> str:
    """Return `seconds` as text in UTC, to the second; with the date, unless `near` is on the same day."""
    date, time = format_time(float(int(seconds))).split("T")
    same_day = seconds // _DAY_SECONDS == near // _DAY_SECONDS
    return f"{'' if same_day else f'{date} '}{time[:8]} UTC"
