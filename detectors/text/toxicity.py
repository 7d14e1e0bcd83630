"""Toxicity detector: insults, hate, threats and other abuse in prompts and answers."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.base import AlertText, Reads
from detectors.normalise.quoted import quoted
from detectors.text.shared_encoder import EncoderDetector, mean_odds

#: Maximum numbers of words and of characters of a text that is too short for the encoder: an answer such as "shrinks" or "herd, dog, sheep".
_SHORT_WORDS, _SHORT_CHARACTERS = 3, 40
_SHORT_BLEND = 0.5


class ToxicityDetector(EncoderDetector):
    """Detector of insults, hate, threats and other abuse.

    Each string in JSON, YAML, CSV, logs and code (`detectors.normalise.quoted`) is also scored as a text of its own, because keys and
    numbers around it hide an insult. The mean of the strings' odds counts, as that of windows, if it is higher than the odds of the text.

    In an ASCII text of at most three words, the linear model has the same weight as the encoder, which needs a context.
    """

    name: ClassVar[str] = "toxicity"
    revision: ClassVar[int] = 14
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

    def blend_of(self, text: str) -> float:
        """See `EncoderDetector.blend_of`."""
        short = len(text) <= _SHORT_CHARACTERS and text.isascii() and len(text.split()) <= _SHORT_WORDS
        return _SHORT_BLEND if short else self.blend

    def slow(self, texts: Sequence[str]) -> list[bool]:
        """See `EncoderDetector.slow`."""
        return [any(super(ToxicityDetector, self).slow([text, *quoted(text)])) for text in texts]

    def log_odds(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See `EncoderDetector.log_odds`."""
        odds, covered = super().log_odds(texts)
        for row, strings in enumerate(map(quoted, texts)):
            if strings:
                odds[row] = max(odds[row], mean_odds(super().log_odds(strings)[0][:, None])[0])
        return odds, covered
