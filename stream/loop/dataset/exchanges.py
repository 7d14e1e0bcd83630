"""Joins requests, answers, verdicts, embeddings and judgments by request id, in any order of reading."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from stream.wire import (
    ABORTED,
    ADDED,
    CorrectionRecord,
    Event,
    Feedback,
    ReasoningPart,
    RequestRecord,
    ResponseRecord,
    Signal,
    TextPart,
    Verdict,
    conversation_key,
)

JudgmentKind = Literal["correction", "approved", "up", "down", "neither"]
_NEITHER: Final = "neither"
#: Ratings as thumbs. 3 of 5 is none, but it replaces the earlier thumb of its key.
_THUMBS: dict[str, JudgmentKind] = {
    "up": "up",
    "5": "up",
    "4": "up",
    "3": _NEITHER,
    "down": "down",
    "2": "down",
    "1": "down",
}


class Judgment(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """The judgment of the API key `principal` about an answer; `answer` is the text of a correction, `id` the id of the event."""

    at: float
    id: str
    kind: JudgmentKind
    principal: str
    answer: str = ""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its answer and all records of the log about it; `judgments` are sorted by time.

    `reused` is whether another server used the id for several requests; then the answer of a judgment is unknown.
    """

    request: RequestRecord
    response: ResponseRecord | None
    reused: bool
    judgments: tuple[Judgment, ...]
    verdicts: tuple[Verdict, ...]
    embedding: bytes | None

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.request_id

    @property
    def conversation(self) -> str:
        """The hash of the conversation; a request without a conversation is a conversation by itself."""
        return conversation_key(self.request.tenant, self.request.conversation_id or self.id)

    def has_only_text(self) -> bool:
        """Whether the request consists of messages with text and nothing beside them, and the answer is one text."""
        parts = [part for message in self.request.messages for part in message.parts]
        choices = () if self.response is None else self.response.messages
        answer = [part for choice in choices for part in choice.parts]
        return (
            all(isinstance(part, TextPart) for part in parts)
            and all(message.name != ADDED for message in self.request.messages)
            and len(choices) <= 1
            and all(isinstance(part, TextPart | ReasoningPart) for part in answer)
        )


class _Parts:
    """The records of one request that were read so far."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, str, RequestRecord]] = []
        self.responses: list[tuple[bool, float, str, ResponseRecord]] = []
        self.judgments: set[Judgment] = set()
        self.verdicts: dict[str, Verdict] = {}
        self.embeddings: dict[str, bytes] = {}

    @property
    def request(self) -> RequestRecord | None:
        """The first request with this id; the order of reading does not decide."""
        return min(self.requests, key=lambda one: one[:2])[2] if self.requests else None

    @property
    def response(self) -> ResponseRecord | None:
        """The last answer; a substitute, which Weir writes if a gateway died, counts only without an answer."""
        return max(self.responses, key=lambda one: one[:3])[3] if self.responses else None

    @property
    def reused(self) -> bool:
        """Whether several different requests have this id."""
        requests = {(one.principal, one.training, one.messages) for *_, one in self.requests}
        answers = {one.messages for is_answer, *_, one in self.responses if is_answer}
        return len(requests) > 1 or len(answers) > 1


class ExchangeJoin:
    """Collects the events of one tenant and model; memory is proportional to their number.

    The result does not depend on the order of the events, and duplicates have no effect. `thumbs_by` are the API keys
    that sent thumbs, and `unmatched` counts judgments whose request is not among the events of the tenant and model.
    """

    def __init__(self, tenant: str, model: str) -> None:
        self._tenant = tenant
        self._model = model
        self._parts: dict[str, _Parts] = {}

    def add(self, event: Event) -> None:
        """Add an event; ignore an event about another tenant or model, or of a type that a dataset does not use."""
        data = event.data
        if getattr(data, "tenant", None) != self._tenant or getattr(data, "model", self._model) != self._model:
            return
        if isinstance(data, RequestRecord):
            self._of(data.request_id).requests.append((event.time, event.id, data))
        elif isinstance(data, ResponseRecord):
            self._of(data.request_id).responses.append((data.status != ABORTED, event.time, event.id, data))
        elif isinstance(data, Verdict):
            self._of(data.request_id).verdicts[event.id] = data
        elif isinstance(data, Signal):
            if data.embedding is not None and data.side == "input" and data.part in {"", "prompt"}:
                self._of(data.request_id).embeddings[event.id] = data.embedding
        elif isinstance(data, CorrectionRecord):
            kind: JudgmentKind | None = "correction" if data.answer else "approved" if data.approved else None
            self._review(data.request_id, kind, data.at, event, data.principal, data.answer)
        elif isinstance(data, Feedback):
            self._review(data.request_id, _THUMBS.get(data.rating), event.time, event, data.principal)

    def exchanges(self) -> list[Exchange]:
        """Return the joined requests, sorted by id."""
        return [
            Exchange(
                request=request,
                response=parts.response,
                reused=parts.reused,
                judgments=tuple(_counting(sorted(parts.judgments))),
                verdicts=tuple(parts.verdicts[key] for key in sorted(parts.verdicts)),
                embedding=parts.embeddings[min(parts.embeddings)] if parts.embeddings else None,
            )
            for _, parts in sorted(self._parts.items())
            if (request := parts.request) is not None
        ]

    @property
    def unmatched(self) -> int:
        """The number of judgments whose request was not read."""
        unknown = [parts for parts in self._parts.values() if not parts.requests]
        return sum(one.kind != _NEITHER for parts in unknown for one in parts.judgments)

    def _of(self, request_id: str) -> _Parts:
        return self._parts.setdefault(request_id, _Parts())

    def _review(  # noqa: PLR0913, PLR0917 - the fields of a judgment
        self, request_id: str, kind: JudgmentKind | None, at: float, event: Event, principal: str, answer: str = ""
    ) -> None:
        if kind is not None:
            judgment = Judgment(at=at, id=event.id, kind=kind, principal=principal, answer=answer)
            self._of(request_id).judgments.add(judgment)


def _counting(judgments: Iterable[Judgment]) -> list[Judgment]:
    """Return the judgments, which are sorted by time, without the thumbs that a later rating of their key replaced by none."""
    found: list[Judgment] = []
    for judgment in judgments:
        if judgment.kind == _NEITHER:
            found = [
                one for one in found if one.principal != judgment.principal or one.kind in {"correction", "approved"}
            ]
        else:
            found.append(judgment)
    return found
