"""``weir explain``'s work: which words an alerting event's verdicts rest on, computed here and now, never in the stream.

The ledger says which verdicts alerted and where the text stands; the text is read from the log, and the installed detectors say what
each word did to the score.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from detectors.base import TextDetector
from detectors.registry import EXPLAINED
from detectors.text.explain import Method, explain
from stream.ledger.queries.request_story import RecordLocation, RequestStory
from stream.wire import Verdict
from weir.errors import NotFoundError
from weir.operate.request_text import RequestText

__all__ = ["Alerting", "Explanation", "Weight", "alerting", "explained", "request_of"]


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """What one word did: character offsets into the raw text, end exclusive, and log-odds of the score, positive towards the alert."""

    start: int
    end: int
    weight: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One verdict and the words that it rests on.

    Parameters
    ----------
    version, score
        Of the verdict, as the stream gave it.
    explained_by, explained_score
        The version that is installed here, and its score: where they differ from the verdict's, so may the words.
    attributions
        In the text's order; a long text's highest-scoring stretch alone.
    text
        The raw text, where it was asked for.
    """

    event_id: str
    side: str
    detector: str
    version: str
    score: float
    explained_by: str
    explained_score: float
    method: str
    attributions: tuple[Weight, ...]
    text: str | None = None


class Alerting(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that alerted, and where the text that it is about stands."""

    verdict: Verdict
    place: RecordLocation


def request_of(name: str) -> str:
    """Return the request that `name`, an event's id (``REQUEST_ID/request``, ``REQUEST_ID/end``) or a request's, is about.

    Raises
    ------
    NotFoundError
        It is the id of an alert.
    """
    if name.startswith("al_"):
        raise NotFoundError(
            f"{name} is an alert, which has many events: give one of its evidence, which `weir alerts --json` lists under `evidence`"
        )
    return name.partition("/")[0]


def alerting(story: RequestStory, name: str, detectors: Sequence[str] = EXPLAINED) -> list[Alerting]:
    """Return the flagged verdicts of `detectors` on the event `name`, or on both events of the request `name`.

    Raises
    ------
    NotFoundError
        The ledger knows no such event of the request, or none of its verdicts alerted.
    """
    events = story.events
    if events is None:
        raise NotFoundError(
            f"request {story.request_id} was counted in a gap instead of delivered, so nothing judged it; `weir show "
            f"{story.request_id}` tells why"
        )
    places = {place.event_id: place for place in events.locations if name in (place.event_id, story.request_id)}
    if not places:
        known = ", ".join(place.event_id for place in events.locations)
        raise NotFoundError(f"no event {name!r} in the ledger; request {story.request_id} has {known}")
    said = [note.verdict for note in events.verdicts if note.event_id in places]
    found = [
        Alerting(verdict=verdict, place=places[verdict.event_id])
        for verdict in said
        if verdict.flagged and verdict.detector in detectors
    ]
    if not found:
        scores = ", ".join(f"{one.side} {one.detector} {one.score:.2f}" for one in said if one.detector in detectors)
        raise NotFoundError(
            f"no alert of {' or '.join(detectors)} on {name}, so there is nothing to explain (its scores: "
            f"{scores or 'none yet'}); `weir show {story.request_id}` shows every verdict, `weir alerts --json` the events that alerted"
        )
    return found


def explained(
    found: Alerting,
    text: RequestText,
    load: Callable[[str], TextDetector[Any]],
    *,
    method: Method = "auto",
    retention_hours: float,
) -> Explanation:
    """Compute which words a verdict rests on.

    Parameters
    ----------
    found
        The verdict.
    text
        Of its request.
    load
        Returns the installed detector of a name, loaded.
    method
        See :func:`detectors.text.explain.explain`.
    retention_hours
        How long the log keeps texts, which is told where this one is gone.

    Raises
    ------
    NotFoundError
        The log no longer has the text.
    """
    verdict, place = found.verdict, found.place
    raw = text.prompt if verdict.side == "input" else text.answer
    if raw is None:
        raise NotFoundError(
            f"the log no longer has the text of {verdict.event_id} ({place.topic}/{place.partition} at {place.offset}): it was "
            f"purged, or is older than the {retention_hours:g} h of kafka.retention_hours, which you may raise for what comes; its "
            f"verdicts remain in `weir show {verdict.request_id}`"
        )
    detector = load(verdict.detector)
    told = explain(detector, raw, method=method)
    return Explanation(
        event_id=verdict.event_id,
        side=verdict.side,
        detector=verdict.detector,
        version=verdict.version,
        score=verdict.score,
        explained_by=detector.version,
        explained_score=detector.score_many([raw])[0].score,
        method=told.method,
        attributions=tuple(Weight(start=w.start, end=w.end, weight=w.weight) for w in told.words),
        text=raw,
    )
