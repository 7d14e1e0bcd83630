"""Toxicity detector: insults, hate, threats and other abuse in prompts and answers."""

from typing import ClassVar

from detectors.base import AlertText, Reads
from detectors.text.shared_encoder import EncoderDetector

__all__ = ["ToxicityDetector"]


class ToxicityDetector(EncoderDetector):
    """Detector of insults, hate, threats and other abuse."""

    name: ClassVar[str] = "toxicity"
    revision: ClassVar[int] = 8
    alert: ClassVar[AlertText] = AlertText(
        subject="toxic language",
        runbook="Check `principals` (`weir alerts --json`): one API key or many; revoke a key with `weir keys revoke ID`; "
        "if the answers are toxic, stop or roll back the model.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.PARTS
    label: ClassVar[str] = "toxic"
    threshold: ClassVar[float] = 0.6
    limits: ClassVar[tuple[float, float]] = (0.01, 0.995)
    blend: ClassVar[float] = 0.15
    languages: ClassVar[frozenset[str]] = frozenset({"en", "de", "fr", "es"})
