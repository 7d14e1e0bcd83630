"""Candidate rows: reviewed exchanges that may be used, with the texts to learn from."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from detectors.base import OPERATOR_ROLES
from stream.loop.dataset.exchanges import Exchange, Judgment
from stream.loop.dataset.rows import Kind, Row, Source, Turn, asked
from stream.loop.dataset.scanner import HARMFUL
from stream.loop.settings import DatasetSettings
from stream.wire import Span, TextPart

#: Roles whose texts may attack the model.
_TRUSTED = OPERATOR_ROLES | {"assistant"}
#: Other servers can report any text as a role, and no detector reads a role.
_ROLES = _TRUSTED | {"user"}
_RANKS: dict[Source, int] = {"correction": 0, "approved": 1, "thumb": 2, "replay": 3}


class Candidate(msgspec.Struct, kw_only=True):
    """A row during curation, which changes its texts, its cluster and its reviewer.

    `author` is the API key of the request, `reviewers` are the API keys whose reviews support this row, and `reviewer` is the key
    that the row counts for. `spans` are the positions of personal data in the raw texts: in the messages of the prompt, then in the
    answer. `at` is the time of the newest of these reviews. `personal` states whether verdicts of the log found personal data.
    """

    id: str
    author: str
    reviewers: tuple[str, ...]
    source: Source
    conversation: str
    prompt: tuple[Turn, ...]
    answer: str
    wanted: bool
    spans: tuple[tuple[Span, ...], ...]
    embedding: bytes | None
    at: float = 0.0
    reviewer: str = ""
    cluster: int = -1
    language: str = ""

    @property
    def rank(self) -> int:
        """The order of preference of duplicates: corrections, approved answers, ratings."""
        return _RANKS[self.source]

    @property
    def personal(self) -> bool:
        """Whether verdicts of the log found personal data."""
        return any(self.spans)

    @property
    def prompt_text(self) -> str:
        """The messages of the prompt, joined by line breaks."""
        return "\n".join(turn.content for turn in self.prompt)

    @property
    def asked(self) -> str:
        """The messages of the prompt without the operator's, for the comparison with other prompts."""
        return asked(self.prompt)

    @property
    def question(self) -> str:
        """The last message of the prompt."""
        return self.prompt[-1].content if self.prompt else ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The messages of the prompt, then the answer."""
        return (*(turn.content for turn in self.prompt), self.answer)

    @property
    def untrusted(self) -> tuple[str, ...]:
        """The messages of the prompt that neither the operator nor the model wrote, and the answer if a client may have written it."""
        messages = tuple(turn.content for turn in self.prompt if turn.role not in _TRUSTED)
        return (*messages, self.answer) if self.source in {"correction", "replay"} else messages

    @property
    def text(self) -> str:
        """Prompt and answer; equal texts are duplicates if their labels are equal too."""
        return f"{'' if self.wanted else 'unwanted '}{self.prompt_text}\n{self.answer}"

    def change_texts(self, change: Callable[[str, tuple[Span, ...]], str]) -> None:
        """Replace each text by `change(text, spans)`; the spans do not fit the new texts and are removed."""
        texts = [change(text, spans) for text, spans in zip(self.texts, self.spans, strict=True)]
        self.prompt = tuple(Turn(role=turn.role, content=text) for turn, text in zip(self.prompt, texts, strict=False))
        self.answer = texts[-1]
        self.spans = ((),) * len(texts)


def candidates_of(
    exchanges: Iterable[Exchange], settings: DatasetSettings, kind: Kind
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidate rows, and {request id: reason} of the reviewed exchanges that are left out."""
    reviewed = [exchange for exchange in exchanges if exchange.judgments]
    excluded = set(settings.exclude_keys)
    givers = {
        judgment.principal
        for exchange in reviewed
        for judgment in exchange.judgments
        if judgment.kind in {"up", "down"} and not is_excluded(judgment.principal, excluded)
    }
    thumbs = kind == "kto" and len(givers) >= settings.feedback_min_principals
    found: list[Candidate] = []
    dropped: dict[str, str] = {}
    for exchange in reviewed:
        judgments = [one for one in exchange.judgments if not is_excluded(one.principal, excluded)]
        decided = _decide(judgments, thumbs=thumbs)
        if not judgments or _opted_out(exchange, settings):
            dropped[exchange.id] = "opt_out"
        elif decided is None:
            dropped[exchange.id] = "quorum" if kind == "kto" else "not_reviewed"
        elif reason := _unusable(exchange, *decided) or _harmful(exchange, corrected=decided[0] == "correction"):
            dropped[exchange.id] = reason
        else:
            found.append(_candidate(exchange, *decided))
    return found, dropped


def is_excluded(principal: str, keys: Collection[str]) -> bool:
    """Return whether `principal` is in `keys`, or is a key of another gateway that a key of `keys` reported (``KEY/…``)."""
    return principal in keys or principal.partition("/")[0] in keys


def candidate_of_old(row: Row, author: str) -> Candidate:
    """Return a row of an earlier dataset as a candidate; `author` is the API key of its request, "" if unknown."""
    return Candidate(
        id=row.id,
        author=author,
        reviewers=(row.principal,),
        source="replay",
        conversation=row.conversation,
        prompt=row.prompt,
        answer=row.completion,
        wanted=row.label is not False,
        spans=((),) * (len(row.prompt) + 1),
        embedding=None,
    )


_Decided = tuple[Source, bool, tuple[Judgment, ...]]


def _decide(judgments: Sequence[Judgment], *, thumbs: bool) -> _Decided | None:
    """Return source, label and judgments of a row; no judgments if the thumbs conflict, and None without a judgment to use.

    The newest correction wins, then an approval, then the majority of the keys, of which the last thumb of each counts.
    """
    if corrections := [one for one in judgments if one.kind == "correction"]:
        return "correction", True, (corrections[-1],)
    if approvals := [one for one in judgments if one.kind == "approved"]:
        return "approved", True, tuple(approvals)
    newest = {one.principal: one for one in judgments if one.kind in {"up", "down"}}
    if not thumbs or not newest:
        return None
    up = tuple(one for one in newest.values() if one.kind == "up")
    down = tuple(one for one in newest.values() if one.kind == "down")
    if len(up) == len(down):
        return "thumb", True, ()
    return ("thumb", True, up) if len(up) > len(down) else ("thumb", False, down)


def _opted_out(exchange: Exchange, settings: DatasetSettings) -> bool:
    request = exchange.request
    return not settings.training or not request.training or is_excluded(request.principal, settings.exclude_keys)


def _unusable(exchange: Exchange, source: Source, _wanted: bool, judgments: tuple[Judgment, ...]) -> str | None:  # noqa: FBT001
    """Return why the exchange cannot be a row, or None."""
    messages = exchange.request.messages
    if not messages or not exchange.has_only_text() or any(message.role not in _ROLES for message in messages):
        return "not_text"
    if not judgments or exchange.reused:
        return "conflict"
    response = exchange.response
    complete = response is not None and response.status == "complete" and response.finish_reason in {None, "stop"}
    return None if complete or source == "correction" else "incomplete"


def _harmful(exchange: Exchange, *, corrected: bool) -> str | None:
    """Return the first detector of :data:`HARMFUL` with a finding in the prompt or in the answer to learn from."""
    flagged = {
        verdict.detector
        for verdict in exchange.verdicts
        if verdict.flagged and not (corrected and verdict.side == "output")
    }
    return next((name for name in HARMFUL if name in flagged), None)


def _candidate(exchange: Exchange, source: Source, wanted: bool, judgments: tuple[Judgment, ...]) -> Candidate:  # noqa: FBT001
    request, response = exchange.request, exchange.response
    messages = [
        (row, message) for row, message in enumerate(request.messages) if any(part.text for part in message.parts)
    ]
    corrected = source == "correction"
    answer = judgments[-1].answer if corrected or response is None else response.text
    spans = [_spans(exchange, "input", row, message) for row, message in messages]
    spans.append(
        ()
        if corrected or response is None or not response.messages
        else _spans(exchange, "output", 0, response.messages[0])
    )
    return Candidate(
        id=exchange.id,
        author=request.principal,
        reviewers=tuple(sorted({one.principal for one in judgments})),
        source=source,
        conversation=exchange.conversation,
        prompt=tuple(Turn(role=message.role, content=message.text) for _, message in messages),
        answer=answer,
        wanted=wanted,
        spans=tuple(spans),
        embedding=exchange.embedding,
        at=max(one.at for one in judgments),
    )


def _spans(exchange: Exchange, side: str, row: int, message: Any) -> tuple[Span, ...]:
    """Return the spans of personal data in a message, as offsets into its joined text."""
    starts: dict[str, int] = {}
    position = 0
    for column, part in enumerate(message.parts):
        if isinstance(part, TextPart):
            starts[f"/messages/{row}/parts/{column}"] = position
            position += len(part.content) + 1
    return tuple(
        Span(start=starts[place] + span.start, end=starts[place] + span.end, type=span.type)
        for verdict in exchange.verdicts
        if verdict.detector == "pii" and verdict.side == side
        for span in verdict.spans
        if (place := span.part or verdict.part) in starts
    )
