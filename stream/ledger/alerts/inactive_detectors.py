"""Inactive detectors: verdicts are expected from them, but they return no verdicts or only errors.

Each inactive detector has its own alert; if all are inactive, they share one alert. If the score stage stops, a lag
alert opens instead: without score's ticks, no verdict counts as missing.
"""

from collections.abc import Iterable, Mapping

from stream.count_text import count_text
from stream.ledger.alerts.condition import Condition, own_alert_id
from stream.ledger.alerts.observations import Observation
from stream.ledger.coverage import EVIDENCE
from stream.ledger.detector_health import Unanswered
from stream.runbook import DETECTOR_PREFIX, SILENCE
from stream.settings import LedgerSettings
from stream.wire import AlertRecord

#: Feature of the alert about all detectors, instead of a detector's name.
ALL = "*"
#: A detector without expected verdicts for this time, while others answer, has been disabled.
_DISABLED_SECONDS = 3600.0

Firing = Mapping[tuple[str, str], AlertRecord]


def inactive_alert_id(detector: str, last_answer: float | None, resolved: int) -> str:
    """Return the id of an alert about `detector`.

    `resolved` is the number of earlier alerts about `detector` that have resolved since `last_answer`.
    """
    return own_alert_id(SILENCE, _opening(detector, last_answer, resolved))


def inactive_detectors(observation: Observation, settings: LedgerSettings, firing: Firing) -> Iterable[Condition]:
    """Yield one condition per alert.

    A firing alert about one detector stays separate when all detectors become inactive.
    """
    inactive = [entry for entry in observation.unanswered if _is_inactive(entry, observation, settings)]
    together = _together(inactive, observation, firing)
    for entry in inactive:
        if entry not in together:
            resolved = observation.resolved.get(entry.detector, 0)
            opening = _opening(entry.detector, entry.last_answer, resolved)
            yield _condition(entry.detector, [entry], opening, settings)
    if together:
        first = min(together, key=lambda entry: (entry.began, entry.detector))
        opening = _opening(first.detector, first.last_answer, observation.resolved.get(first.detector, 0))
        yield _condition(ALL, together, f"{ALL}@{opening}", settings)


def _together(inactive: list[Unanswered], observation: Observation, firing: Firing) -> list[Unanswered]:
    """Return the inactive detectors that share one alert, or [] if fewer than two can share it.

    A detector can share the alert if it has no firing alert of its own, and if no active detector has answered since
    the first event that this detector did not answer: then one cause, such as a stopped score stage, is likely.
    """
    names = {entry.detector for entry in inactive}
    others = max(
        (time for name, time in observation.last_answers.items() if name not in names and time is not None),
        default=None,
    )
    alone = {feature for detector, feature in firing if detector == SILENCE}
    shared = [
        entry
        for entry in inactive
        if (others is None or others < entry.began) and DETECTOR_PREFIX + entry.detector not in alone
    ]
    return shared if len(shared) > 1 else []


def _is_inactive(entry: Unanswered, observation: Observation, settings: LedgerSettings) -> bool:
    if entry.pairs < settings.silent_events or entry.newest - entry.began < settings.silent_seconds:
        return False
    newest = max((time for time in observation.last_answers.values() if time is not None), default=None)
    return newest is None or newest - entry.newest < _DISABLED_SECONDS


def _condition(name: str, inactive: list[Unanswered], opening: str, settings: LedgerSettings) -> Condition:
    requests = tuple(dict.fromkeys(request for entry in inactive for request in entry.requests))[:EVIDENCE]
    pairs, errors = sum(entry.pairs for entry in inactive), sum(entry.errors for entry in inactive)
    subject = f"detector {name}" if name != ALL else f"detectors {', '.join(entry.detector for entry in inactive)}"
    seconds = max(entry.newest for entry in inactive) - min(entry.began for entry in inactive)
    return Condition(
        detector=SILENCE,
        feature=DETECTOR_PREFIX + name,
        severity="critical",
        summary=(
            f"No valid verdict from {subject}. The last {count_text(pairs, 'expected verdict')}, over {seconds:.0f} s: "
            f"{count_text(errors, 'error')}, {pairs - errors} missing"
        ),
        opening=opening,
        evidence=requests,
        evidence_total=max(pairs, len(requests)),
        statistic=float(pairs),
        limit=float(settings.silent_events),
    )


def _opening(detector: str, last_answer: float | None, resolved: int) -> str:
    since = "start" if last_answer is None else repr(last_answer)
    return f"{detector}@{since}" + (f"/{resolved}" if resolved else "")
