"""PII detector: Presidio's patterns and checksums, phone numbers, and a token head for names, locations and jobs.

The detector *reports* all spans, but *flags* a text only if its spans identify a person, because ordinary prompts name
cities and celebrities. Cards, accounts, e-mail addresses, phone numbers, official numbers, and a full name near an
address identify a person.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import AlertText, Reads, Score, Span, TextDetector
from detectors.errors import NotLoadedError
from detectors.models.weight_files import PII, WeightsConfig
from detectors.normalise.disguise import Encoded, encoded, unleeted
from detectors.normalise.unicode import Normalised, normalise, without_pictures, without_surrogates
from detectors.pii.addresses import is_somebodys
from detectors.pii.entities import Entity, find_entities
from detectors.pii.patterns import STREET_SCORE, PatternScanner
from detectors.pii.rules import RULES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from detectors.pii.token_head import Loaded

NER_SCORE = 0.85
#: Score of an address that only the token head finds; lower than that of a street's form.
ADDRESS_SCORE = 0.55
#: Score of an official number that only the token head finds: it is reported, but not flagged.
NUMBER_SCORE = 0.5
#: Number of characters before a number in which words state its type.
ID_BEFORE = 40
#: Maximum number of spans in one verdict; the score uses all spans.
SPANS = 500
#: Characters beside an address in which a name may begin: the distance of `is_somebodys`, and a long name.
_NEAR = 400


class PiiConfig(WeightsConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the PII detector.

    Attributes
    ----------
    threshold
        Texts with this score or a higher one are flagged.
    entities
        Whether to use the token head, which finds names, locations, organisations, jobs and dates.
    max_tokens
        Maximum number of tokens of a text that the token head reads; unread tokens lower ``covered``.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.6
    entities: bool = True
    max_tokens: Annotated[int, Meta(ge=100)] = 80_000


class PiiDetector(TextDetector[PiiConfig]):
    """Detector that applies patterns and a token head to the text, in linear time."""

    name: ClassVar[str] = "pii"
    version: ClassVar[str] = f"14+{PII.digest[:8]}"
    config_type: ClassVar[type[msgspec.Struct]] = PiiConfig
    reads: ClassVar[Reads] = Reads.PARTS
    alert: ClassVar[AlertText] = AlertText(
        subject="personal data",
        runbook="Open a request with `weir show ID`; for a prompt, contact the client's owner; for an answer, find out why "
        "the model returns the data.",
    )

    def __init__(self, config: PiiConfig | None = None) -> None:
        super().__init__(config)
        self._scanner: PatternScanner | None = None
        self._head: tuple[Tokenizer, Loaded] | None = None
        if self.config.weights_sha256:
            # The ignore: other weights are another version of this detector, not of its class.
            self.version = self.version.replace(PII.digest[:8], self.config.weights_sha256[:8])  # type: ignore[misc]

    def load(self) -> None:
        """Compile the patterns and load the token head; see `TextDetector.load`."""
        if self._scanner is not None:
            return
        scanner = PatternScanner()
        if self.config.entities:
            from detectors.models.minilm import load_tokenizer, set_threads  # noqa: PLC0415 - torch takes seconds to import
            from detectors.pii.token_head import load_head  # noqa: PLC0415 - as above

            model_dir = self.config.model_dir or None
            set_threads(self.config.threads)
            self._head = load_tokenizer(model_dir), load_head(model_dir, self.config.file(PII))
        self._scanner = scanner

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`."""
        if self._scanner is None:
            raise NotLoadedError("pii.score_many before load(): call load() once in the process that scores")
        raw = [without_surrogates(text) for text in texts]
        copies = [without_pictures(text, normalise(text)) for text in raw]
        views = [text if copy is None else copy.text for text, copy in zip(raw, copies, strict=True)]
        # Names are searched in the text without leetspeak; patterns also search the original, whose digits are unchanged.
        plains = [unleeted(view) or view for view in views]
        found = (
            find_entities(*self._head, plains, self.config.max_tokens)
            if self._head
            else [([], len(plain)) for plain in plains]
        )
        hidden = [encoded(text) for text in raw]
        inner = iter(self.score_many([one.text for every in hidden for one in every]) if any(hidden) else ())
        scores: list[Score] = []
        for text, copy, view, plain, (own, read), every in zip(raw, copies, views, plains, found, hidden, strict=True):
            scanned = self._scanner.scan(plain)
            # The patterns find every phone number of the labelled texts; the token head marks times and counters too.
            names = [entity for entity in own if entity.kind != "PHONE_NUMBER"]
            spans = [*scanned.spans, *(_span(plain, entity) for entity in names)]
            covered = min(_share(scanned.reached, plain), _share(read, plain))
            if plain is not view:
                # Numbers that leetspeak does not change are compared with their own neighbours.
                spans = [span for span in spans if span.type in RULES.indirect or _differ(plain, view, span)]
                spans += self._scanner.scan(view).spans
            if copy is not None:
                first = self._scanner.scan(text)
                spans = [*first.spans, *(_moved(span, copy) for span in spans)]
                covered = min(covered, _share(first.reached, text))
            scores.append(self._combine(text, spans, covered, [(one, next(inner)) for one in every]))
        return scores

    def _combine(self, text: str, spans: list[Span], covered: float, hidden: Sequence[tuple[Encoded, Score]]) -> Score:
        """Return the score of a text from its `spans` and from the scores of its `hidden` passages, such as Base64.

        A hidden passage gets one span, with the type of its most severe span. Such a span replaces other spans, but none that is
        more severe: a sentence between the digits of a card, written in invisible characters, must not hide the card.
        """
        marks: list[Span] = []
        for passage, inner in hidden:
            worst = max(inner.spans, key=_severity, default=None)
            if worst is not None:
                mark = msgspec.structs.replace(worst, start=passage.start, end=passage.end)
                marks.append(mark)
                spans = [
                    span
                    for span in spans
                    if span.end <= mark.start or span.start >= mark.end or _severity(span) > _severity(mark)
                ]
            covered = min(covered, inner.covered)
        kept = without_overlaps(text, spans)
        score = max([_decide(text, kept), *(inner.score for _, inner in hidden)])
        marks = [mark for mark in marks if all(span.end <= mark.start or span.start >= mark.end for span in kept)]
        kept = sorted([*kept, *marks], key=lambda span: span.start)
        return Score.of(score, self.config.threshold, "pii", covered, kept[:SPANS])


def _severity(span: Span) -> tuple[bool, float]:
    return span.type not in RULES.indirect, span.score


def _differ(plain: str, view: str, span: Span) -> bool:
    return plain[span.start : span.end] != view[span.start : span.end]


def _share(reached: int, text: str) -> float:
    return reached / len(text) if text else 1.0


def _span(text: str, entity: Entity) -> Span:
    """Return an entity as a span with a score and Presidio's type name."""
    kind, value = entity.kind, text[entity.start : entity.end]
    score = NER_SCORE
    if kind == "ADDRESS":
        kind = "LOCATION"
        score = ADDRESS_SCORE if any(map(str.isdigit, value)) and any(map(str.isalpha, value)) else NER_SCORE
    elif kind == "ID":
        score = NUMBER_SCORE
        before = text[max(0, entity.start - ID_BEFORE) : entity.start].lower()
        kind = next((name for name, words in RULES.id_words.items() if any(word in before for word in words)), kind)
    return Span(start=entity.start, end=entity.end, type=kind, score=score)


def _moved(span: Span, copy: Normalised) -> Span:
    start, end = copy.raw_span(span.start, span.end)
    return msgspec.structs.replace(span, start=start, end=end)


def without_overlaps(text: str, spans: Sequence[Span]) -> list[Span]:
    """Return spans without overlaps; a span keeps only the parts that no higher-ranked span covers.

    Types that identify a person rank first, then higher scores, then longer spans.
    """
    ranked = sorted(
        _joined(spans), key=lambda s: (s.type in RULES.indirect, -s.score, s.start - s.end, s.start, s.type)
    )
    taken: dict[int, Span] = {}
    occupied = bytearray(max((span.end for span in ranked), default=0))
    for span in ranked:
        for start, end in _free(occupied, span):
            occupied[start:end] = b"\1" * (end - start)
            kept = text[start:end]
            if any(map(str.isalnum, kept)):
                first, last = start + len(kept) - len(kept.lstrip()), end - len(kept) + len(kept.rstrip())
                taken[first] = msgspec.structs.replace(span, start=first, end=last)
    return [taken[start] for start in sorted(taken)]


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Join overlapping spans if their type alone does not identify a person."""
    found: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda s: (s.start, s.end)):
        row = found.setdefault(span.type, [])
        last = row[-1] if row and span.type in RULES.indirect else None
        if last is None or span.start >= last.end:
            row.append(span)
        else:
            # A score other than NER_SCORE is that of an address, which is the more specific finding.
            score = max(last.score, span.score, key=lambda value: (value != NER_SCORE, value))
            row[-1] = msgspec.structs.replace(last, end=max(last.end, span.end), score=score)
    return [span for row in found.values() for span in row]


def _free(occupied: bytearray, span: Span) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a span that are not occupied by spans with a higher rank."""
    start = span.start
    while start < span.end:
        start = occupied.find(0, start, span.end)
        if start < 0:
            return
        end = occupied.find(1, start, span.end)
        end = span.end if end < 0 else end
        yield start, end
        start = end


def _decide(text: str, spans: Sequence[Span]) -> float:
    direct = max((span.score for span in spans if span.type not in RULES.indirect), default=0.0)
    names = sorted(
        (s for s in spans if s.type == "PERSON" and len(text[s.start : s.end].split()) > 1), key=attrgetter("start")
    )
    starts = [name.start for name in names]
    # A LOCATION with another score than a town's is a unit, a postal code, or a street with a number.
    addresses = [s for s in spans if s.type == "LOCATION" and s.score != NER_SCORE]
    if addresses:
        known = any(
            s.score > NER_SCORE
            or (
                s.score >= ADDRESS_SCORE
                and is_somebodys(
                    text,
                    s,
                    names[bisect_left(starts, s.start - _NEAR) : bisect_left(starts, s.end + _NEAR)],
                    by_form=s.score >= STREET_SCORE,
                )
            )
            for s in addresses
        )
        direct = max(direct, 0.8 if known else 0.5)
    indirect = 0.3 if names else 0.2 if any(s.type in RULES.indirect for s in spans) else 0.0
    return max(direct, indirect)
