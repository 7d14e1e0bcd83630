"""Groundedness detector (experimental): whether the prompt supports the sentences of an answer.

Each sentence is compared with the prompt by words, numbers, names and negation (`detectors.text.claims`), and by its
embedding. The detector does not reason: it may flag a correct conclusion that uses other words than the prompt, and
miss a false statement that uses only the prompt's words.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from detectors.base import OK, Score, Span, TextDetector, Turn, label_of
from detectors.errors import NotLoadedError
from detectors.models.embedding import Embedder
from detectors.text.claims import Claim, claims, unsupported, vocabulary

__all__ = ["GroundednessConfig", "GroundednessDetector"]

PROMPT_CHARACTERS = 32_000


class GroundednessConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the groundedness detector.

    Attributes
    ----------
    threshold
        Texts with this score or a higher one are flagged.
    context_characters
        Minimum length of a prompt, in characters; an answer to a shorter prompt is ``unknown``.
    max_sentences
        Maximum number of sentences that are read from an answer; unread sentences lower ``covered``.
    max_context
        Maximum number of sentences that are read from a prompt.
    threads
        Torch threads of this process, set at ``load()``; 0 leaves the number unchanged.
    model_dir
        A folder with the pinned all-MiniLM-L6-v2; empty selects the installed wheel's folder.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.55
    context_characters: Annotated[int, Meta(ge=1)] = 200
    max_sentences: Annotated[int, Meta(ge=1, le=1000)] = 64
    max_context: Annotated[int, Meta(ge=1, le=2000)] = 256
    threads: Annotated[int, Meta(ge=0)] = 0
    model_dir: str = ""


class GroundednessDetector(TextDetector[GroundednessConfig]):
    """Detector whose score is the doubt about the least supported sentence.

    Spans of type ``UNSUPPORTED`` mark unsupported sentences.

    Notes
    -----
    The cost is one embedding per sentence of the answer and of the prompt.
    """

    name: ClassVar[str] = "groundedness"
    version: ClassVar[str] = f"1+{Embedder.version.partition('+')[2]}"
    config_type: ClassVar[type[msgspec.Struct]] = GroundednessConfig
    sides: ClassVar[tuple[str, ...]] = ("output",)

    def __init__(self, config: GroundednessConfig | None = None) -> None:
        super().__init__(config)
        self._embedder: Embedder | None = None

    @property
    def prompt_characters(self) -> int:
        """See `TextDetector.prompt_characters`."""
        return PROMPT_CHARACTERS

    def load(self) -> None:
        """Load the frozen embedding; see `TextDetector.load`."""
        if self._embedder is None:
            embedder = Embedder(self.config.model_dir or None, self.config.threads)
            embedder.load()
            self._embedder = embedder

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Return ``unknown`` for each text, because there is no prompt to compare the text with."""
        return self.score_answers(texts, [()] * len(texts))

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each answer against its prompt; see `TextDetector.score_answers`."""
        if self._embedder is None:
            raise NotLoadedError(
                "groundedness.score_answers before load(): call load() once in the process that scores"
            )
        return [self._score(text, turns) for text, turns in zip(texts, prompts, strict=True)]

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        if not text.strip():
            return Score(score=0.0, label=OK, flagged=False)
        given = "\n".join(turn.content for turn in turns)
        if len(given) < self.config.context_characters:
            return Score(score=0.0, label="unknown", flagged=False)
        answer, covered = claims(text, self.config.max_sentences)
        context, _ = claims(given, self.config.max_context)
        if not answer or not context:
            return Score(score=0.0, label="unknown", flagged=False)
        doubts = self._doubts(answer, context)
        threshold = self.config.threshold
        score = min(1.0, max(0.0, *doubts))
        flagged = score >= threshold
        spans = tuple(
            Span(start=claim.start, end=claim.end, type="UNSUPPORTED", score=min(1.0, doubt))
            for claim, doubt in zip(answer, doubts, strict=True)
            if doubt >= threshold
        )
        label = label_of("unsupported", flagged=flagged, covered=covered)
        return Score(score=score, label=label, flagged=flagged, covered=covered, spans=spans)

    def _doubts(self, answer: Sequence[Claim], context: Sequence[Claim]) -> list[float]:
        assert self._embedder is not None
        vectors = self._embedder.embed_many([claim.text for claim in (*answer, *context)])
        similar = np.asarray(vectors[: len(answer)] @ vectors[len(answer) :].T, dtype=np.float64)
        known = vocabulary(context)
        return [unsupported(claim, context, known, row.tolist()) for claim, row in zip(answer, similar, strict=True)]
