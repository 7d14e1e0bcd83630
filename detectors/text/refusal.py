"""Refusal detector: answers that decline a request."""

from typing import ClassVar

from detectors.text.shared_encoder import EncoderDetector

__all__ = ["RefusalDetector"]


class RefusalDetector(EncoderDetector):
    """Detector of answers that refuse a request; experimental: trained on texts that Weir's authors wrote, and on weak labels."""

    name: ClassVar[str] = "refusal"
    revision: ClassVar[int] = 6
    sides: ClassVar[tuple[str, ...]] = ("output",)
    label: ClassVar[str] = "refusal"
    threshold: ClassVar[float] = 0.5
    limits: ClassVar[tuple[float, float]] = (0.032, 0.97)
    blend: ClassVar[float] = 0.1
    languages: ClassVar[frozenset[str]] = frozenset({"en", "de", "fr", "es"})
