"""Refusal detector: answers that decline a request."""

import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.base import Score
from detectors.text.shared_encoder import EMPTY_LOG_ODDS, EncoderDetector

#: An answer that denies and says nothing else: "No.", "Answer: no", "No, it does not."
_DENIAL = re.compile(
    r"\W*(?:answer\W+)?(?:no|nope|non|none)\W*"
    r"(?:(?:it|he|she|they|this|that|there)\s+(?:is|are|was|were|do|does|did|has|have)(?:\s+not|n['’]t)\W*)?",  # noqa: RUF001 - both apostrophes
    re.IGNORECASE,
)


class RefusalDetector(EncoderDetector):
    """Detector of answers that refuse a request; experimental: trained on texts that Weir's authors wrote, and on weak labels.

    A bare denial ("No.") is not a refusal: it answers the questions of classification tasks.
    """

    name: ClassVar[str] = "refusal"
    revision: ClassVar[int] = 11
    sides: ClassVar[tuple[str, ...]] = ("output",)
    label: ClassVar[str] = "refusal"
    threshold: ClassVar[float] = 0.5
    limits: ClassVar[tuple[float, float]] = (0.032, 0.97)
    blend: ClassVar[float] = 0.1

    def scores(self, texts: Sequence[str], odds: NDArray[np.float64], covered: NDArray[np.float64]) -> list[Score]:
        """See `EncoderDetector.scores`."""
        denials = [bool(_DENIAL.fullmatch(text)) for text in texts]
        return super().scores(texts, np.where(denials, EMPTY_LOG_ODDS, odds), covered)
