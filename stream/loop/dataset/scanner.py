"""The detectors that curation runs, because the log has no verdicts on corrections and masked texts."""

from collections.abc import Mapping, Sequence
from typing import Any

from detectors.base import Span, TextDetector
from detectors.models.language_model import LanguageModel
from detectors.pii.detector import SPANS
from detectors.registry import create_text

#: The detectors whose findings leave a row out.
HARMFUL = ("toxicity", "injection")
_PERSONAL = "pii"


class Scanner:
    """The installed detectors with the options of the stack; loads models, which needs seconds and hundreds of megabytes.

    The results depend only on the texts and on `versions`. The models use one thread, so that their sums, and therefore the rows, do not depend on
    the number of processors.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        self._detectors: dict[str, TextDetector[Any]] = {}
        for name in (_PERSONAL, *HARMFUL):
            detector = create_text(name, {**options.get(name, {}), "threads": 1})
            detector.load()
            self._detectors[name] = detector
        self._language = LanguageModel()

    @property
    def versions(self) -> Mapping[str, str]:
        """{detector: version}."""
        return {name: detector.version for name, detector in self._detectors.items()}

    def personal(self, texts: Sequence[str]) -> list[tuple[Span, ...] | None]:
        """Return the spans of personal data in each text, or None for a text that can contain more personal data."""
        scores = self._detectors[_PERSONAL].score_many(texts) if texts else []
        return [score.spans if score.covered >= 1.0 and len(score.spans) < SPANS else None for score in scores]

    def flagged(self, detector: str, texts: Sequence[str]) -> list[bool]:
        """Return whether `detector`, of :data:`HARMFUL`, flags each text."""
        return [score.flagged for score in self._detectors[detector].score_many(texts)] if texts else []

    def language(self, text: str) -> str:
        """Return the language of a text (ISO 639-1), or "" if it has no letters."""
        return self._language.guess(text).language
