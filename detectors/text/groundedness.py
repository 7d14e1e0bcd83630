"""Groundedness detector (experimental): whether the sources in a prompt support the sentences of an answer.

Sources are tool results and passages of the prompt (`detectors.text.sources`). A linear model of features of each sentence
(`detectors.text.support`) computes the doubt about it. The detector does not reason: it may flag a correct conclusion, and miss
a false statement that uses only the sources' words.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from detectors.base import AnswerDetector, Score, Span, Turn
from detectors.models.embedding import Embedder
from detectors.models.weight_files import GROUNDEDNESS
from detectors.text.claims import Claim, claims
from detectors.text.sources import Source, sources
from detectors.text.support import FEATURES, Floats, Sources, SupportModel, is_statement


class GroundednessConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the groundedness detector.

    Attributes
    ----------
    threshold
        Texts with this score or a higher one are flagged.
    context_characters
        Minimum length of the sources in a prompt, in characters; with less, an answer is ``unknown``.
    max_sentences
        Maximum number of sentences that are read from an answer; unread sentences lower ``covered``.
    max_context
        Maximum number of sentences that are read from the sources, the newest message first.
    threads
        Threads of this process, set at ``load()``; 0 leaves the number unchanged.
    model_dir
        A folder with the pinned all-MiniLM-L6-v2; empty selects the installed wheel's folder.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.8
    context_characters: Annotated[int, Meta(ge=1)] = 200
    max_sentences: Annotated[int, Meta(ge=1, le=1000)] = 64
    max_context: Annotated[int, Meta(ge=1, le=2000)] = 256
    threads: Annotated[int, Meta(ge=0)] = 0
    model_dir: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The sentences of an answer that state something, compared with its sources.

    ``rows`` are their features, (n, len(FEATURES)); ``nearest`` is the most similar sentence of the sources, with its cosine in [0, 1];
    ``covered`` is the share of the answer that was read.
    """

    claims: list[Claim]
    rows: Floats
    nearest: list[tuple[Source, float]]
    covered: float


def compare(text: str, turns: Sequence[Turn], embedder: Embedder, config: GroundednessConfig) -> Comparison | None:
    """Compare an answer with the sources in its prompt; None if these are shorter than ``config.context_characters``."""
    found, said = sources(turns, config.max_context)
    if sum(len(source.claim.text) for source in found) < config.context_characters:
        return None
    sentences, covered = claims(text, config.max_sentences)
    stated = [claim for claim in sentences if is_statement(claim)]
    if not stated:
        return Comparison(claims=[], rows=np.zeros((0, len(FEATURES))), nearest=[], covered=covered)
    context = [source.claim for source in found]
    tokens = embedder.token_vectors([claim.text for claim in (*stated, *context)])
    own = tokens[: len(stated)]
    against = Sources(context, [source.turn for source in found], tokens[len(stated) :], said)
    nearest = [against.nearest(one) for one in own]
    return Comparison(
        claims=stated,
        rows=np.array([against.features(claim, one) for claim, one in zip(stated, own, strict=True)]),
        nearest=[(found[row], cosine) for row, cosine in nearest],
        covered=covered,
    )


class GroundednessDetector(AnswerDetector[GroundednessConfig]):
    """Detector whose score is the doubt about the least supported sentence.

    Spans of type ``UNSUPPORTED`` mark unsupported sentences. Each is followed by a span of type ``SOURCE``: the most similar sentence of the
    sources, with its cosine and the pointer of its message.

    Notes
    -----
    The cost is one embedding per sentence of the answer and of the sources.
    """

    name: ClassVar[str] = "groundedness"
    version: ClassVar[str] = f"2+{GROUNDEDNESS.digest[:8]}.{Embedder.version.partition('+')[2]}"
    config_type: ClassVar[type[msgspec.Struct]] = GroundednessConfig
    sides: ClassVar[tuple[str, ...]] = ("output",)
    prompt_characters = 32_000
    _loaded: tuple[Embedder, SupportModel] | None = None

    def load(self) -> None:
        """Load the frozen embedding and the linear model; see `TextDetector.load`."""
        if self._loaded is None:
            model = msgspec.toml.decode(GROUNDEDNESS.read(), type=SupportModel)
            embedder = Embedder(self.config.model_dir or None, self.config.threads)
            embedder.load()
            self._loaded = embedder, model

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        assert self._loaded is not None
        embedder, model = self._loaded
        compared = compare(text, turns, embedder, self.config)
        if compared is None:
            return Score(score=0.0, label="unknown", flagged=False)
        doubts = model.doubts(compared.rows).tolist()
        spans: list[Span] = []
        for claim, (source, cosine), doubt in zip(compared.claims, compared.nearest, doubts, strict=True):
            if doubt >= self.config.threshold:
                best, part = source.claim, turns[source.turn].pointer or f"/prompt/{source.turn}/content"
                spans += (
                    Span(start=claim.start, end=claim.end, type="UNSUPPORTED", score=doubt),
                    Span(start=best.start, end=best.end, type="SOURCE", score=cosine, part=part),
                )
        return Score.of(max(doubts, default=0.0), self.config.threshold, "unsupported", compared.covered, spans)
