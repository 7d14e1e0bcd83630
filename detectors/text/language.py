"""Language mismatch: an answer in a language other than that of its prompt, or than the expected languages.

A ``mismatch`` needs two texts that are long enough and of which the model is sure. A prompt that names the answer's language, asks
for a translation, or contains a passage in that language allows it. An undecided text is ``unknown``.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import OK, Score, Span, TextDetector, Turn
from detectors.errors import NotLoadedError
from detectors.models.language_model import Guess, LanguageModel, group_of
from detectors.text.requested_language import names_language

__all__ = ["LanguageConfig", "LanguageDetector"]

PROMPT_CHARACTERS = 2_000
#: Largest number of passages of a prompt whose languages are detected separately.
PASSAGES = 40


class LanguageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the language detector.

    Attributes
    ----------
    expected
        Allowed languages (ISO 639-1) of every text; empty compares an answer with its prompt.
    threshold
        Lowest probability of a detected language, for both texts.
    letters
        Fewest letters of a text whose language is detected (a Chinese, Japanese or Korean sign counts as three).
    """

    expected: tuple[str, ...] = ()
    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.6
    letters: Annotated[int, Meta(ge=1)] = 20


class LanguageDetector(TextDetector[LanguageConfig]):
    """The probability of the answer's language, or of the prompt's if that is lower, if the two differ; else 0.

    A flagged text has one span, its whole length, of type ``LANGUAGE_`` and the code of its language.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[str] = "1+8f3472cf"
    config_type: ClassVar[type[msgspec.Struct]] = LanguageConfig

    def __init__(self, config: LanguageConfig | None = None) -> None:
        super().__init__(config)
        self._model: LanguageModel | None = None
        self._expected = {group_of(code.lower()) for code in self.config.expected}

    @property
    def prompt_characters(self) -> int:
        """See `TextDetector.prompt_characters`: none where languages are expected."""
        return 0 if self._expected else PROMPT_CHARACTERS

    def load(self) -> None:
        """Load the pinned model; see `TextDetector.load`."""
        self._model = self._model or LanguageModel()

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text without a prompt: ``unknown`` unless languages are expected."""
        return self.score_answers(texts, [()] * len(texts))

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each text beside its prompt; see `TextDetector.score_answers`."""
        if self._model is None:
            raise NotLoadedError("language.score_answers before load(): call load() once in the process that scores")
        return [self._score(text, turns) for text, turns in zip(texts, prompts, strict=True)]

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        assert self._model is not None
        answer = self._model.guess(text)
        if not answer.letters:
            return Score(score=0.0, label=OK, flagged=False)
        if self._expected:
            wanted, sure = self._expected, 1.0
        else:
            wanted, sure = self._allowed_languages(turns, answer)
        score = min(sure, answer.probability)
        if not wanted or not self._is_certain(answer):
            return Score(score=0.0, label="unknown", flagged=False)
        if group_of(answer.language) in wanted:
            return Score(score=0.0, label=OK, flagged=False)
        flagged = score >= self.config.threshold
        span = Span(start=0, end=len(text), type=f"LANGUAGE_{answer.language.upper()}", score=answer.probability)
        return Score(
            score=score, label="mismatch" if flagged else OK, flagged=flagged, spans=(span,) if flagged else ()
        )

    def _is_certain(self, guess: Guess) -> bool:
        return guess.letters >= self.config.letters and guess.probability >= self.config.threshold

    def _allowed_languages(self, turns: Sequence[Turn], answer: Guess) -> tuple[set[str], float]:
        """Return the languages that a prompt may be answered in, and the probability of its own; none if that is uncertain."""
        assert self._model is not None
        last = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
        whole = self._model.guess(last[:PROMPT_CHARACTERS])
        if not self._is_certain(whole):
            return set(), 0.0
        allowed = {group_of(whole.language)}
        text = "\n".join(turn.content[:PROMPT_CHARACTERS] for turn in turns)
        if names_language(text, answer.language):
            return {*allowed, group_of(answer.language)}, whole.probability
        passages = [self._model.guess(passage) for passage in text.splitlines()[:PASSAGES]]
        return allowed | {group_of(guess.language) for guess in passages if guess.letters >= 8}, whole.probability
