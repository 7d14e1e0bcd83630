"""Explain flagged verdicts by the weights of words, for ``weir explain``.

The ledger has the verdicts and the offsets of the texts; the installed detectors compute the weights.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from detectors.base import TextDetector
from detectors.registry import EXPLAINED
from detectors.text.explain import Method, explain
from stream.ledger.queries.request_story import RecordLocation, RequestStory
from stream.score_text import score_text
from stream.wire import Verdict, WordWeight
from weir.errors import NotFoundError
from weir.operate.request_text import RequestText


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One verdict, the weights of its words in the order of the text, and the raw text (of `part`, as in a verdict).

    In a long text, only the words of the highest-scoring part have weights. `version` is the detector version of the
    verdict; `explained_by` is the installed version, which computed the weights. If the two versions differ, other
    words may have caused the verdict.
    """

    event_id: str
    side: str
    detector: str
    version: str
    score: float
    explained_by: str
    explained_score: float
    method: str
    attributions: tuple[WordWeight, ...]
    part: str = ""
    text: str | None = None


class FlaggedVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A flagged verdict and the location of its text."""

    verdict: Verdict
    location: RecordLocation


def request_of(name: str) -> str:
    """Return the request id of `name`, which is a request id or an event id (``REQUEST_ID/end``).

    Raises NotFoundError if `name` is an alert id.
    """
    if name.startswith("al_"):
        raise NotFoundError(
            f"{name} is an alert; give one of its requests, which `weir alerts --json` lists under `evidence`"
        )
    return name.partition("/")[0]


def flagged_verdicts(story: RequestStory, name: str, detectors: Sequence[str] = EXPLAINED) -> list[FlaggedVerdict]:
    """Return the verdicts in which `detectors` flagged event `name`, or either event of request `name`.

    Raises NotFoundError if there is no such event or no such verdict.
    """
    events = story.events
    if events is None:
        raise NotFoundError(
            f"request {story.request_id} was not delivered, so it has no verdicts; `weir show {story.request_id}` has the reason"
        )
    locations = {one.event_id: one for one in events.locations if name in (one.event_id, story.request_id)}
    if not locations:
        known = ", ".join(one.event_id for one in events.locations)
        raise NotFoundError(f"no event {name!r}; request {story.request_id} has the events {known}")
    verdicts = [note.verdict for note in events.verdicts if note.event_id in locations]
    found = [
        FlaggedVerdict(verdict=verdict, location=locations[verdict.event_id])
        for verdict in verdicts
        if verdict.flagged and verdict.detector in detectors
    ]
    if not found:
        scores = ", ".join(
            f"{one.side} {one.detector} {score_text(one.score)}" for one in verdicts if one.detector in detectors
        )
        raise NotFoundError(
            f"{name} was not flagged by {' or '.join(detectors)} (scores: {scores or 'none yet'}); `weir show {story.request_id}` "
            "shows all verdicts, `weir alerts --json` lists flagged requests"
        )
    return found


def explained(
    found: FlaggedVerdict,
    text: RequestText,
    load: Callable[[str], TextDetector[Any]],
    *,
    method: Method = "auto",
    retention_hours: float,
) -> Explanation:
    """Compute the weights of the words in a verdict's text; raises NotFoundError if the text has expired."""
    verdict, location = found.verdict, found.location
    raw = text.text_of(verdict)
    if raw is None:
        raise NotFoundError(
            f"the text of {verdict.event_id} ({location.topic}/{location.partition} at {location.offset}) was deleted or is older than "
            f"kafka.retention_hours ({retention_hours:g} h), which can be raised for new texts; its verdicts remain in `weir show "
            f"{verdict.request_id}`"
        )
    detector = load(verdict.detector)
    explanation = explain(detector, raw, method=method)
    return Explanation(
        event_id=verdict.event_id,
        side=verdict.side,
        detector=verdict.detector,
        version=verdict.version,
        score=verdict.score,
        explained_by=detector.version,
        explained_score=detector.score_many([raw])[0].score,
        method=explanation.method,
        attributions=tuple(WordWeight(start=w.start, end=w.end, weight=w.weight) for w in explanation.words),
        part=verdict.part,
        text=raw,
    )
