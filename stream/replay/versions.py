"""The versions of a detector that a replay can run or compare with: installed, variants in the settings, recorded.

The version of a detector identifies its code and weights, not its options. So a variant (other options) has a name in
the settings, and its findings contain version and name: ``10+88c6af09.328c6383/strict``.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from detectors.base import StreamDetector, TextDetector
from detectors.errors import DetectorError
from detectors.registry import ALERTING, STREAM, TEXT, create_stream, create_text
from stream.errors import ReplayError
from stream.settings import RESERVED_VARIANTS, DetectorSettings, TenantSettings
from stream.stages.score.model_process import DetectorFactory

INSTALLED, RECORDED = RESERVED_VARIANTS


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a detector; `label` is ``installed``, ``recorded``, or the name of a variant.

    `version` is the version in its verdicts and findings, "" for ``recorded``. For a text detector, `options` contains
    all options. For a stream detector, `options` override the options of each tenant. `threshold` is the lowest score
    that the version flags, or None if the version has no threshold.
    """

    detector: str
    label: str
    version: str = ""
    options: dict[str, Any] = {}
    threshold: float | None = None

    @property
    def name(self) -> str:
        """The version's name on the command line, such as ``toxicity@strict``."""
        return f"{self.detector}@{self.label}"

    @property
    def recorded(self) -> bool:
        """Whether this version's results are read from the log instead of computed."""
        return self.label == RECORDED

    @property
    def over_streams(self) -> bool:
        """Whether this is a version of a stream detector, which reads signals, not texts."""
        return self.detector in STREAM


def create_version(name: str, options: Mapping[str, Any] | None) -> TextDetector[Any]:
    """Create the text detector of a version ``DETECTOR@LABEL``, for a model process."""
    return create_text(name.partition("@")[0], options)


def stream_version(version: Version, settings: TenantSettings) -> StreamDetector[Any]:
    """Create a stream detector with a tenant's options, overridden by the version's options."""
    return create_stream(version.detector, {**settings.detector_options(version.detector), **version.options})


class Versions:
    """Finds versions by name under given settings; `create` creates a text detector by name."""

    def __init__(self, settings: DetectorSettings, create: DetectorFactory = create_text) -> None:
        self._settings = settings
        self._create = create

    def resolve(self, name: str) -> Version:
        """Return the version with the name ``DETECTOR@VERSION``; without ``@VERSION``, the installed version.

        Raises ReplayError, which lists the alternatives, if the detector, the version or an option does not exist.
        """
        detector, _, label = name.partition("@")
        if name in RESERVED_VARIANTS:
            raise ReplayError(f"{name!r} is a version, not a detector: write DETECTOR@{name}, such as toxicity@{name}")
        if detector not in ALERTING:
            raise ReplayError(
                f"no detector that alerts is named {detector!r}: choose one of {', '.join(ALERTING)}"
                + (f"; the scores of {detector} are features that drift reads" if detector in TEXT else "")
            )
        label = label or INSTALLED
        if label == RECORDED:
            return Version(detector=detector, label=RECORDED)
        try:
            installed = self._build(detector, {})
            if label in (INSTALLED, installed.version):
                return self._version(detector, INSTALLED, {})
            if name in self._settings.variants:
                return self._version(detector, label, self._settings.variants[name])
        except DetectorError as error:
            raise ReplayError(f"{name}: {error}") from error
        raise ReplayError(f"{name} cannot be run here: choose one of {', '.join(self._known(detector, installed))}")

    def _known(self, detector: str, installed: Any) -> list[str]:
        variants = [name for name in self._settings.variants if name.partition("@")[0] == detector]
        return [
            f"{detector}@{INSTALLED} ({installed.version})",
            *variants,
            f'{detector}@{RECORDED}; add a variant to weir.toml under [detectors.variants."{detector}@NAME"]',
        ]

    def _version(self, detector: str, label: str, over: Mapping[str, Any]) -> Version:
        built = self._build(detector, over)
        own = {} if detector in STREAM else self._settings.options.get(detector, {})
        return Version(
            detector=detector,
            label=label,
            version=built.version if label == INSTALLED else f"{built.version}/{label}",
            options={**own, **over},
            threshold=_threshold(built),
        )

    def _build(self, detector: str, over: Mapping[str, Any]) -> Any:
        if detector in STREAM:
            return create_stream(detector, over)
        return self._create(detector, {**self._settings.options.get(detector, {}), **over})


def _threshold(detector: Any) -> float | None:
    """Return the threshold of a text detector: its option `threshold`, or the shipped threshold if the option is 0."""
    threshold = getattr(detector.config, "threshold", 0.0) or getattr(detector, "threshold", 0.0)
    return float(threshold) if threshold else None
