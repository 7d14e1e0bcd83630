"""Injection detector: attempts to override the model's instructions or to make it ignore its rules."""

from typing import ClassVar

from detectors.base import AlertText, Reads
from detectors.text.shared_encoder import EncoderDetector

__all__ = ["InjectionDetector"]


class InjectionDetector(EncoderDetector):
    """Detector of attempts to override instructions or to make the model ignore its rules; also finds them inside other text."""

    name: ClassVar[str] = "injection"
    revision: ClassVar[int] = 3
    alert: ClassVar[AlertText] = AlertText(
        subject="prompt injection",
        runbook="Open a request with `weir show ID --text` and check what the answer disclosed; then make the system "
        "prompt stricter, or give the model fewer tools.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.UNTRUSTED
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.8
    limits: ClassVar[tuple[float, float]] = (0.03, 0.97)
    blend: ClassVar[float] = 0.3
