"""One request as ``weir show --json`` prints it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from serving.capture.balance import read_balance
from stream.count_text import count_text
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.request_story import ExplanationNote, GapNote, RequestStory
from stream.wire import Span, Verdict
from weir.client.times import format_duration
from weir.errors import NotFoundError, WeirError
from weir.operate.cluster_terms import ClusterTerms
from weir.operate.request_text import RequestText

#: Tenants that an error names.
_NAMED_TENANTS = 20


class ShownVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict; `part` and the `part` of a span are as in the event."""

    detector: str
    version: str
    side: str
    flagged: bool
    label: str
    score: float
    covered: float
    part: str
    spans: tuple[dict[str, Any], ...]
    explanation: ExplanationNote | None = None


class ShownConsistency(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the detector `consistency`; `request_id` is that of the copy, which has the further answers."""

    request_id: str
    flagged: bool
    label: str
    score: float


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One request with its verdicts, and the ids of its alerts and retraining events; `judgments` counts its feedback.

    `gap` is set if the request was not delivered, and `consistency` if the model was asked again. `shadow_of` is the id of the
    user's request if Weir sent this request as a copy. `text` and `cluster_terms` (by alert id) are set if the user requested
    the text.
    """

    request_id: str
    trace_id: str
    tenant: str
    model: str
    end: dict[str, Any] | None
    verdicts: list[ShownVerdict]
    alert_ids: list[str]
    retraining_ids: list[str]
    pending: list[str] = []
    gap: GapNote | None = None
    judgments: dict[str, int] = {}
    consistency: ShownConsistency | None = None
    shadow_of: str = ""
    text: RequestText | None = None
    cluster_terms: dict[str, ClusterTerms] = {}


def read_story(home: Path, request_id: str) -> RequestStory:
    """Return the request with its events, verdicts and alerts from the ledger; raises NotFoundError or LedgerAbsent."""
    story = LedgerReader(home / "ledger").request(request_id)
    if story is None:
        spool = read_balance(home / "spool")
        recent = "seconds" if not spool.spooled else format_duration(spool.oldest_age_seconds)
        waiting = f" ({count_text(spool.spooled, 'record waits', 'records wait')} in the spool: see `weir status`)"
        raise NotFoundError(
            f"no request {request_id!r} in the ledger of {home}; the id is the x-request-id of an answer. A request of the last "
            f"{recent} may not be in the ledger yet{waiting if spool.spooled else ''}, and an older one may have expired; "
            "another stack has another WEIR_HOME"
        )
    return story


def read_conversation(home: Path, conversation_id: str, *, tenant: str, limit: int) -> list[RequestStory]:
    """Return the newest `limit` requests of a conversation, oldest first; raises NotFoundError or LedgerAbsent.

    `tenant` is "" for the only tenant that has the conversation; raises WeirError if several tenants have it.
    """
    reader = LedgerReader(home / "ledger")
    tenants = [tenant] if tenant else reader.conversation_tenants(conversation_id)
    if len(tenants) > 1:
        named = ", ".join(tenants[:_NAMED_TENANTS]) + (", …" if len(tenants) > _NAMED_TENANTS else "")
        raise WeirError(
            f"{len(tenants)} tenants have a conversation {conversation_id!r}: {named}; name one with --tenant"
        )
    found = reader.conversation(conversation_id, tenant=tenants[0], limit=limit) if tenants else []
    if not found:
        raise NotFoundError(
            f"no request of conversation {conversation_id!r}{f' of tenant {tenant!r}' if tenant else ''} in the ledger of {home}; "
            "the id is the client's metadata.conversation_id or x-weir-conversation-id. Older requests may have expired; another "
            "stack has another WEIR_HOME"
        )
    return found


def shown(
    story: RequestStory, text: RequestText | None = None, cluster_terms: Mapping[str, ClusterTerms] | None = None
) -> Shown:
    """Return `story` with the fields of ``weir show --json``."""
    events = story.events
    return Shown(
        request_id=story.request_id,
        trace_id=story.trace_id,
        tenant=events.tenant if events else "",
        model=events.model if events else "",
        end=_end(story),
        verdicts=_verdicts(story),
        alert_ids=[alert.alert_id for alert in story.alerts],
        retraining_ids=list(dict.fromkeys(record.retraining_id for record in story.retraining)),
        pending=_pending(story),
        gap=story.gap,
        judgments=story.judgments.counts,
        consistency=_consistency(story.consistency),
        shadow_of=events.shadow_of if events else "",
        text=text,
        cluster_terms=dict(cluster_terms or {}),
    )


def _consistency(verdict: Verdict | None) -> ShownConsistency | None:
    if verdict is None:
        return None
    return ShownConsistency(
        request_id=verdict.request_id, flagged=verdict.flagged, label=verdict.label, score=verdict.score
    )


def _end(story: RequestStory) -> dict[str, Any] | None:
    end = story.events.end if story.events else None
    if end is None:
        return None
    usage = end.usage
    total = usage.total_tokens
    tokens = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": total}
    found = msgspec.structs.asdict(end) | {"usage": tokens}
    if end.guard is None:
        del found["guard"]
    return found


def _verdicts(story: RequestStory) -> list[ShownVerdict]:
    copied = ("detector", "version", "side", "flagged", "label", "score", "covered", "part")
    return [
        ShownVerdict(
            **{name: getattr(note.verdict, name) for name in copied},
            spans=tuple(map(_span, note.verdict.spans)),
            explanation=note.explanation,
        )
        for note in (story.events.verdicts if story.events else ())
    ]


def _span(span: Span) -> dict[str, Any]:
    """Return the fields of a span, always with its score; the published event omits a score of 1."""
    found = {"start": span.start, "end": span.end, "type": span.type, "score": span.score}
    return found | ({"part": span.part} if span.part else {})


def _pending(story: RequestStory) -> list[str]:
    """Return ``side/detector`` for each expected verdict that is not in the ledger yet."""
    if story.events is None:
        return []
    completed = {(note.event_id, note.verdict.detector) for note in story.events.verdicts}
    return [
        f"{location.side}/{detector}"
        for location in story.events.locations
        for detector in location.owed
        if (location.event_id, detector) not in completed
    ]
