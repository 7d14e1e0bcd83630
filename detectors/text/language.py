"""Language detector: an answer in another language than its prompt, or in none of the expected languages.

The answer is a ``mismatch`` only if the languages of both texts are certain and the texts are long enough. The answer's
language is allowed if the prompt names this language, asks for a translation or contains a passage in this language. If
a language is uncertain, the label is ``unknown``.
"""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import OK, AnswerDetector, Score, Span, Turn
from detectors.models.language_model import LID_DIGEST, Guess, LanguageModel, group_of
from detectors.toml_files import read_toml

PROMPT_CHARACTERS = 2_000
#: Largest number of passages of a prompt whose languages are detected separately.
PASSAGES = 40
_NAMES = read_toml("detectors.text", "language_names.toml", dict[str, str])
_CODE = re.compile(r"[a-z]{2,3}", re.IGNORECASE)
_TRANSLATE = re.compile(
    r"translat|übersetz|tradu[iczs]|перевед|перевод|翻译|翻訳|번역|ترجم|çevir|tłumacz|vertaal|översätt|przetłum|अनुवाद|dịch sang"
)


class LanguageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the language detector.

    Attributes
    ----------
    expected
        Allowed languages of every text (ISO 639-1, else 639-3, without region); if empty, an answer is compared with its prompt.
    threshold
        The language of an answer or of a prompt is certain if its probability is at least this value.
    letters
        A text with fewer letters has an uncertain language (a Chinese, Japanese or Korean character counts as three).
    """

    expected: tuple[str, ...] = ()
    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.6
    letters: Annotated[int, Meta(ge=1)] = 20

    def __post_init__(self) -> None:
        for code in self.expected:
            if not _CODE.fullmatch(code):
                raise ValueError(
                    f"{code!r} is not a language code of two or three letters: write 'pt' for 'pt-BR' or 'Portuguese'"
                )


class LanguageDetector(AnswerDetector[LanguageConfig]):
    """Detector of answers in a wrong language; the score is 0 if the language is allowed or uncertain.

    Otherwise the score is the lower of the probabilities of the answer's and the prompt's language. A flagged text has
    one span of its whole length, with a type such as ``LANGUAGE_DE``.
    """

    name: ClassVar[str] = "language"
    version: ClassVar[str] = f"1+{LID_DIGEST[:8]}"
    config_type: ClassVar[type[msgspec.Struct]] = LanguageConfig
    _loaded: LanguageModel | None = None

    def __init__(self, config: LanguageConfig | None = None) -> None:
        super().__init__(config)
        self._expected = {group_of(code.lower()) for code in self.config.expected}
        self.prompt_characters = 0 if self._expected else PROMPT_CHARACTERS

    def load(self) -> None:
        """Load the pinned model; see `TextDetector.load`."""
        self._loaded = self._loaded or LanguageModel()

    def _score(self, text: str, turns: Sequence[Turn]) -> Score:
        assert self._loaded is not None
        answer = self._loaded.guess(text)
        if not answer.letters:
            return Score(score=0.0, label=OK, flagged=False)
        if self._expected:
            wanted, sure = self._expected, 1.0
        else:
            wanted, sure = self._allowed_languages(turns, answer)
        if not wanted or not self._is_certain(answer):
            return Score(score=0.0, label="unknown", flagged=False)
        if group_of(answer.language) in wanted:
            return Score(score=0.0, label=OK, flagged=False)
        span = Span(start=0, end=len(text), type=f"LANGUAGE_{answer.language.upper()}", score=answer.probability)
        return Score.of(min(sure, answer.probability), self.config.threshold, "mismatch", spans=(span,))

    def _is_certain(self, guess: Guess) -> bool:
        return guess.letters >= self.config.letters and guess.probability >= self.config.threshold

    def _allowed_languages(self, turns: Sequence[Turn], answer: Guess) -> tuple[set[str], float]:
        """Return the allowed languages, and the probability of the prompt's language.

        If the prompt's language is uncertain, no language is returned, and the probability is 0.
        """
        assert self._loaded is not None
        last = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
        whole = self._loaded.guess(last[:PROMPT_CHARACTERS])
        if not self._is_certain(whole):
            return set(), 0.0
        allowed = {group_of(whole.language)}
        text = "\n".join(turn.content[:PROMPT_CHARACTERS] for turn in turns)
        if names_language(text, answer.language):
            return {*allowed, group_of(answer.language)}, whole.probability
        passages = [self._loaded.guess(passage) for passage in text.splitlines()[:PASSAGES]]
        return allowed | {group_of(guess.language) for guess in passages if guess.letters >= 8}, whole.probability


def names_language(text: str, language: str) -> bool:
    """Return whether a text asks for a translation, or names ``language`` or a language of its group (`group_of`)."""
    lowered = text.lower()
    group = group_of(language)
    names = "|".join(names for code, names in _NAMES.items() if group_of(code) == group)
    return bool(_TRANSLATE.search(lowered)) or bool(names and re.search(names, lowered))
