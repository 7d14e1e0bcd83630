"""Detectors that are owed verdicts and give none, or errors alone: one alert a detector, or one for all where no other answers.

With score away altogether nothing is due (its ticks stand still), so that is a lag and no silence.
"""

from collections.abc import Iterable, Mapping

from stream.ledger.alerts.condition import Condition, own_alert_id
from stream.ledger.alerts.observations import Observation
from stream.ledger.detector_health import Unanswered
from stream.runbook import DETECTOR_PREFIX, SILENCE
from stream.settings import LedgerSettings
from stream.wire import AlertRecord

__all__ = ["ALL", "silence_id", "silences"]

#: In a detector's place where every one of them is silent.
ALL = "*"
#: A detector that was owed nothing while others answered for so much longer is not silent any more: it is owed no more.
_FORGET_SECONDS = 3600.0


def silence_id(detector: str, last_answer: float | None, told: int) -> str:
    """Return the id of the silence of `detector` since `last_answer`, after `told` others since then."""
    return own_alert_id(SILENCE, _opening(detector, last_answer, told))


def silences(
    seen: Observation, settings: LedgerSettings, firing: Mapping[tuple[str, str], AlertRecord]
) -> Iterable[Condition]:
    """Yield the silences of `seen`; one that fires alone goes on alone when the others fall silent too."""
    silent = [one for one in seen.unanswered if _is_silent(one, seen.heard, settings)]
    together = _together(silent, seen, firing)
    for one in silent:
        if one not in together:
            opening = _opening(one.detector, one.last_answer, seen.told.get(one.detector, 0))
            yield _condition(one.detector, [one], opening, settings)
    if together:
        first = min(together, key=lambda one: (one.began, one.detector))
        yield _condition(ALL, together, f"{ALL}@{first.detector}@{_time(first.last_answer)}", settings)


def _together(
    silent: list[Unanswered], seen: Observation, firing: Mapping[tuple[str, str], AlertRecord]
) -> list[Unanswered]:
    """Return those that are told as one: two or more, none of them told alone yet, while no other detector answers."""
    quiet = {one.detector for one in silent}
    others = max((time for name, time in seen.heard.items() if name not in quiet and time is not None), default=None)
    alone = {feature for detector, feature in firing if detector == SILENCE}
    found = [
        one for one in silent if (others is None or others < one.began) and DETECTOR_PREFIX + one.detector not in alone
    ]
    return found if len(found) > 1 else []


def _is_silent(one: Unanswered, heard: Mapping[str, float | None], settings: LedgerSettings) -> bool:
    if one.pairs < settings.silent_events or one.newest - one.began < settings.silent_seconds:
        return False
    newest = max((time for time in heard.values() if time is not None), default=None)
    return newest is None or newest - one.newest < _FORGET_SECONDS


def _condition(name: str, silent: list[Unanswered], opening: str, settings: LedgerSettings) -> Condition:
    requests = tuple(dict.fromkeys(request for one in silent for request in one.requests))[:20]
    pairs, errors = sum(one.pairs for one in silent), sum(one.errors for one in silent)
    who = f"detector {name} has" if name != ALL else f"detectors {', '.join(one.detector for one in silent)} have"
    seconds = max(one.newest for one in silent) - min(one.began for one in silent)
    return Condition(
        detector=SILENCE,
        feature=DETECTOR_PREFIX + name,
        severity="critical",
        summary=f"{who} answered none of the last {pairs} owed verdicts, over {seconds:.0f} s: {errors} errors, {pairs - errors} absent",
        opening=opening,
        evidence=requests,
        evidence_total=max(pairs, len(requests)),
        statistic=float(pairs),
        limit=float(settings.silent_events),
    )


def _opening(detector: str, last_answer: float | None, told: int) -> str:
    return f"{detector}@{_time(last_answer)}" + (f"/{told}" if told else "")


def _time(time: float | None) -> str:
    return "start" if time is None else repr(time)
