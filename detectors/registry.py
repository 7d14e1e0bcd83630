"""The one place where detectors are registered.

Importing it is cheap: a detector imports its machine-learning libraries in ``load()``.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from detectors.base import Detector, StreamDetector, TextDetector
from detectors.errors import ConfigError, UnknownDetectorError
from detectors.pii.detector import PiiDetector
from detectors.streams.anomaly import AnomalyDetector
from detectors.streams.drift import DriftDetector
from detectors.streams.sentinel import SentinelDetector
from detectors.text.encoder import InjectionDetector, RefusalDetector, ToxicityDetector
from detectors.text.groundedness import GroundednessDetector
from detectors.text.hub import HubDetector
from detectors.text.language import LanguageDetector
from detectors.text.repetition import RepetitionDetector

__all__ = ["STREAM", "TEXT", "create", "create_stream", "create_text"]

TEXT: dict[str, type[TextDetector[Any]]] = {
    detector.name: detector
    for detector in (
        PiiDetector,
        ToxicityDetector,
        InjectionDetector,
        RefusalDetector,
        GroundednessDetector,
        HubDetector,
        LanguageDetector,
        RepetitionDetector,
    )
}
STREAM: dict[str, type[StreamDetector[Any]]] = {
    detector.name: detector for detector in (DriftDetector, AnomalyDetector, SentinelDetector)
}


def create(name: str, config: Mapping[str, object] | None = None) -> Detector[Any]:
    """Build a detector by name, without loading its weights.

    Parameters
    ----------
    name
        A key of `TEXT` or `STREAM`.
    config
        Fields of its ``config_type``; what is left out takes its default.

    Raises
    ------
    UnknownDetectorError
        No detector has that name.
    ConfigError
        A key or value that the detector does not know; the message names it.
    """
    if name in TEXT:
        return create_text(name, config)
    if name in STREAM:
        return create_stream(name, config)
    raise UnknownDetectorError(f"no detector is named {name!r}: choose one of {', '.join((*TEXT, *STREAM))}")


def create_text(name: str, config: Mapping[str, object] | None = None) -> TextDetector[Any]:
    """Build a text detector, as `create` does."""
    if name not in TEXT:
        raise UnknownDetectorError(f"no text detector is named {name!r}: choose one of {', '.join(TEXT)}")
    detector = TEXT[name]
    return detector(_configure(detector, config))


def create_stream(name: str, config: Mapping[str, object] | None = None) -> StreamDetector[Any]:
    """Build a stream detector, as `create` does."""
    if name not in STREAM:
        raise UnknownDetectorError(f"no stream detector is named {name!r}: choose one of {', '.join(STREAM)}")
    detector = STREAM[name]
    return detector(_configure(detector, config))


def _configure(detector: type[Detector[Any]], config: Mapping[str, object] | None) -> msgspec.Struct:
    fields = detector.config_type.__struct_fields__
    unknown = sorted(set(config or {}) - set(fields))
    if unknown:
        raise ConfigError(
            f"detector {detector.name} does not know {', '.join(map(repr, unknown))}: its settings are {', '.join(fields)}"
        )
    try:
        return msgspec.convert(dict(config or {}), detector.config_type, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"detector {detector.name}: {error}") from error
