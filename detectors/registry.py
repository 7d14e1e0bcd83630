"""The registry of all detectors, from which the stages, settings, console and commands read names and capabilities.

Importing this module takes only 0.3 s, because a detector imports its machine-learning libraries in ``load()``.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from detectors.base import AlertText, Detector, StreamDetector, TextDetector
from detectors.errors import ConfigError, UnknownDetectorError
from detectors.pii.detector import PiiDetector
from detectors.streams.anomaly import AnomalyDetector
from detectors.streams.bias import BiasDetector
from detectors.streams.drift import DriftDetector
from detectors.streams.sentinel import SentinelDetector
from detectors.streams.tool_mix import ToolMixDetector
from detectors.text.consistency import ConsistencyDetector
from detectors.text.groundedness import GroundednessDetector
from detectors.text.hub import HubDetector
from detectors.text.injection import InjectionDetector
from detectors.text.language import LanguageDetector
from detectors.text.leak import LeakDetector
from detectors.text.refusal import RefusalDetector
from detectors.text.repetition import RepetitionDetector
from detectors.text.tools import ToolsDetector
from detectors.text.toxicity import ToxicityDetector

DetectorT = TypeVar("DetectorT", bound=Detector[Any])

TEXT: dict[str, type[TextDetector[Any]]] = {
    detector.name: detector
    for detector in (
        PiiDetector,
        ToxicityDetector,
        InjectionDetector,
        RefusalDetector,
        ConsistencyDetector,
        GroundednessDetector,
        HubDetector,
        LanguageDetector,
        LeakDetector,
        RepetitionDetector,
        ToolsDetector,
    )
}
STREAM: dict[str, type[StreamDetector[Any]]] = {
    detector.name: detector
    for detector in (DriftDetector, AnomalyDetector, SentinelDetector, BiasDetector, ToolMixDetector)
}
DETECTORS: dict[str, type[Detector[Any]]] = {**TEXT, **STREAM}
#: Detectors whose findings open alerts, and those whose verdicts can be attributed to words.
ALERTING = tuple(sorted(name for name, detector in DETECTORS.items() if detector.alert is not None))
EXPLAINED = tuple(name for name, detector in DETECTORS.items() if detector.explains)


def alert_text(name: str) -> AlertText | None:
    """Return the wording of a detector's alerts, or None if the detector opens no alerts or is not registered."""
    return DETECTORS[name].alert if name in DETECTORS else None


def create(name: str, config: Mapping[str, object] | None = None) -> Detector[Any]:
    """Build a detector without loading its weights; the keys of `config` are the fields of its ``config_type``.

    Raises UnknownDetectorError if no detector has this name, and ConfigError if an option is unknown or its value is
    invalid.
    """
    return _create(DETECTORS, "detector", name, config)


def create_text(name: str, config: Mapping[str, object] | None = None) -> TextDetector[Any]:
    """Build a text detector; see `create`."""
    return _create(TEXT, "text detector", name, config)


def create_stream(name: str, config: Mapping[str, object] | None = None) -> StreamDetector[Any]:
    """Build a stream detector; see `create`."""
    return _create(STREAM, "stream detector", name, config)


def _create(
    known: Mapping[str, type[DetectorT]], kind: str, name: str, config: Mapping[str, object] | None
) -> DetectorT:
    if name not in known:
        raise UnknownDetectorError(f"no {kind} is named {name!r}: choose one of {', '.join(known)}")
    return known[name](_configure(known[name], config))


def _configure(detector: type[Detector[Any]], config: Mapping[str, object] | None) -> msgspec.Struct:
    fields = detector.config_type.__struct_fields__
    unknown = sorted(set(config or {}) - set(fields))
    if unknown:
        raise ConfigError(
            f"detector {detector.name} has no option {', '.join(map(repr, unknown))}: its options are {', '.join(fields)}"
        )
    try:
        return msgspec.convert(dict(config or {}), detector.config_type, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"detector {detector.name}: {error}{_choices(detector, str(error))}") from error


def _choices(detector: type[Detector[Any]], error: str) -> str:
    """Return the allowed values of the option that `error` is about, if it has a list of values; msgspec names only the wrong value."""
    for name, hint in get_type_hints(detector.config_type).items():
        if get_origin(hint) is Literal and error.endswith(f"`$.{name}`"):
            return f"; choose one of {', '.join(get_args(hint))}"
    return ""
