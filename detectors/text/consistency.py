"""Consistency detector (experimental): whether the model's further answers to a prompt agree with the first answer.

If a model knows a fact, it repeats the fact when it gets the same question again; an invented answer differs each time (SelfCheckGPT,
Manakul et al. 2023, arXiv 2303.08896). Serving sends a share of the requests again (``[tenants."x".consistency]``). The detector compares
words, so it also counts other wording as a difference, and does not find a mistake that the model repeats.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import OK, AnswerDetector, Reads, Score, Span, Turn
from detectors.text.claims import STOP, WORD, claims, compared

#: Minimum number of further answers for a score.
_SAMPLES = 2
#: Weight of a name or a number; a wrong answer differs in these more often than in other words.
_ANCHOR = 3.0


class ConsistencyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the consistency detector.

    Attributes
    ----------
    threshold
        Answers with this score or a higher one are flagged. The usual scores depend on the model and its temperature.
    max_sentences
        Maximum number of sentences that are read from an answer; unread sentences lower ``covered``.
    """

    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.8
    max_sentences: Annotated[int, Meta(ge=1, le=1000)] = 1000


class ConsistencyDetector(AnswerDetector[ConsistencyConfig]):
    """Detector whose score is the weighted share of the answer's words that the model's further answers do not have.

    The answer is the last message of the role ``assistant`` in the prompt; a text is a JSON list of the model's further answers.
    The share is 0 for a word that all further answers have, and 1 for a word that none has. Words of the user's messages are
    ignored if the answer has others. The score is the mean of the sentences. Spans of type ``INCONSISTENT`` mark the
    sentences of a flagged answer whose share reaches the threshold.
    """

    name: ClassVar[str] = "consistency"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = ConsistencyConfig
    sides: ClassVar[tuple[str, ...]] = ("output",)
    reads: ClassVar[Reads] = Reads.CHOICES
    prompt_characters = 4_096

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        try:
            samples = [set(_words(sample)) for sample in msgspec.json.decode(text, type=list[str])]
        except (msgspec.DecodeError, UnicodeError):
            samples = []
        answer = next((turn for turn in reversed(turns) if turn.role == "assistant"), None)
        if answer is None or len(samples) < _SAMPLES:
            return Score(score=0.0, label="unknown", flagged=False)
        said = {word for turn in turns if turn.role == "user" for word in _words(turn.content)}
        sentences, covered = claims(answer.content, self.config.max_sentences)
        weights = [_words(claim.text) for claim in sentences]
        own = [{word: weight for word, weight in of.items() if word not in said} for of in weights]
        shares = [_missing(of, samples) for of in (own if any(own) else weights)]
        known = [share for share in shares if share is not None]
        if not known:
            return Score(score=0.0, label=OK, flagged=False, covered=covered)
        score, threshold = sum(known) / len(known), self.config.threshold
        spans = [
            Span(start=claim.start, end=claim.end, type="INCONSISTENT", score=share, part=answer.pointer)
            for claim, share in zip(sentences, shares, strict=True)
            if score >= threshold and share is not None and share >= threshold
        ]
        return Score.of(score, threshold, "inconsistent", covered, spans)


def _words(text: str) -> dict[str, float]:
    """Return the weight of each word of a text that is compared."""
    weights: dict[str, float] = {}
    for token in WORD.findall(text):
        if token.lower() not in STOP:
            word = compared(token)
            anchor = token[0].isdigit() or token[0].isupper()
            weights[word] = max(weights.get(word, 1.0), _ANCHOR if anchor else 1.0)
    return weights


def _missing(weights: dict[str, float], samples: Sequence[Iterable[str]]) -> float | None:
    """Return the weighted share of the words that `samples` do not have; None without words."""
    if not weights:
        return None
    missing = sum(weight * sum(word not in sample for sample in samples) for word, weight in weights.items())
    return missing / (len(samples) * sum(weights.values()))
