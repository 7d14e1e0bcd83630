"""Injection detector: attempts to override the model's instructions or to make it ignore its rules."""

from typing import ClassVar

import msgspec

from detectors.base import AlertText, Reads
from detectors.text.shared_encoder import EncoderConfig, EncoderDetector

__all__ = ["InjectionConfig", "InjectionDetector"]


class InjectionConfig(EncoderConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the injection detector.

    Attributes
    ----------
    whole_history
        Whether the detector reads every text of a request by itself, also those before the model's last message, which a client can
        invent. Each request of a conversation then has the wrong findings of all its turns.
    """

    whole_history: bool = False


class InjectionDetector(EncoderDetector):
    """Detector of attempts to override instructions or to make the model ignore its rules; also finds them inside other text."""

    name: ClassVar[str] = "injection"
    config_type: ClassVar[type[msgspec.Struct]] = InjectionConfig
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

    @property
    def reads_history(self) -> bool:
        """Whether it reads each text before the model's last message by itself, too."""
        return isinstance(self.config, InjectionConfig) and self.config.whole_history
