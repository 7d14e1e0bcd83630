"""Toxicity detector: insults, hate, threats and other abuse in prompts and answers."""

from typing import ClassVar

from detectors.base import AlertText, Reads
from detectors.text.shared_encoder import EncoderDetector

#: Maximum numbers of words and of characters of a text that is too short for the encoder: an answer such as "shrinks" or "herd, dog, sheep".
_SHORT_WORDS, _SHORT_CHARACTERS = 3, 40
_SHORT_BLEND = 0.5


class ToxicityDetector(EncoderDetector):
    """Detector of insults, hate, threats and other abuse.

    In an ASCII text of at most three words, the linear model has the same weight as the encoder, which needs a context.
    """

    name: ClassVar[str] = "toxicity"
    revision: ClassVar[int] = 13
    alert: ClassVar[AlertText] = AlertText(
        subject="toxic language",
        runbook="Find the API keys in `principals` (`weir alerts --json`); revoke a key with `weir keys revoke ID`; if answers are "
        "toxic, roll back the model.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.PARTS
    label: ClassVar[str] = "toxic"
    threshold: ClassVar[float] = 0.6
    limits: ClassVar[tuple[float, float]] = (0.015, 0.995)
    blend: ClassVar[float] = 0.15
    languages: ClassVar[frozenset[str]] = frozenset({"en", "de", "fr", "es"})

    def blend_of(self, text: str) -> float:
        """See `EncoderDetector.blend_of`."""
        short = len(text) <= _SHORT_CHARACTERS and text.isascii() and len(text.split()) <= _SHORT_WORDS
        return _SHORT_BLEND if short else self.blend
