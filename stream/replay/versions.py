"""Which versions of a detector can be run over the log: what is installed, variants in the settings, and what the log itself holds.

A detector's own version says its code and weights; its options are settings. So a variant is named in the settings, and findings
of it carry both: ``2+819e5f3e.1eca322b/strict``.
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

__all__ = ["Version", "Versions", "create_version", "stream_version"]

INSTALLED, RECORDED = RESERVED_VARIANTS


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a detector.

    Attributes
    ----------
    detector
        Its name.
    label
        ``installed``, ``recorded``, or a variant's name.
    version
        What its verdicts and findings say; empty where they are the log's.
    options
        Of a text detector: all of them. Of a stream detector: those that are laid over each tenant's.
    threshold
        The score from which on it flags, where it has one.
    """

    detector: str
    label: str
    version: str = ""
    options: dict[str, Any] = {}
    threshold: float | None = None

    @property
    def name(self) -> str:
        """The name that a person gives: ``toxicity@strict``."""
        return f"{self.detector}@{self.label}"

    @property
    def recorded(self) -> bool:
        """Whether it is what the log holds, and not run."""
        return self.label == RECORDED

    @property
    def over_streams(self) -> bool:
        """Whether it reads signals, a bucket at a time, and not texts."""
        return self.detector in STREAM


def create_version(name: str, options: Mapping[str, Any] | None) -> TextDetector[Any]:
    """Build the detector of a version by the version's name; what a model process is given."""
    return create_text(name.partition("@")[0], options)


def stream_version(version: Version, settings: TenantSettings) -> StreamDetector[Any]:
    """Build a stream detector under a tenant's options, with the version's laid over them."""
    return create_stream(version.detector, {**settings.detector_options(version.detector), **version.options})


class Versions:
    """What can be run under these settings.

    Parameters
    ----------
    settings
        Options of text detectors, and variants.
    create
        Builds a text detector by name.
    """

    def __init__(self, settings: DetectorSettings, create: DetectorFactory = create_text) -> None:
        self._settings = settings
        self._create = create

    def resolve(self, asked: str) -> Version:
        """Return the version that ``NAME@VERSION`` names; a name alone is what is installed.

        Raises
        ------
        ReplayError
            There is no such detector, version or option; the message lists what can be run.
        """
        detector, _, label = asked.partition("@")
        if asked in RESERVED_VARIANTS:
            raise ReplayError(f"{asked!r} is a version, not a detector: give NAME@{asked}, such as toxicity@{asked}")
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
            if asked in self._settings.variants:
                return self._version(detector, label, self._settings.variants[asked])
        except DetectorError as error:
            raise ReplayError(f"{asked}: {error}") from error
        raise ReplayError(f"{asked} cannot be run here: choose one of {', '.join(self._known(detector, installed))}")

    def _known(self, detector: str, installed: Any) -> list[str]:
        variants = [name for name in self._settings.variants if name.partition("@")[0] == detector]
        return [
            f"{detector}@{INSTALLED} ({installed.version})",
            *variants,
            f'{detector}@{RECORDED}; another is made in weir.toml under [detectors.variants."{detector}@NAME"]',
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
    """Return where a text detector flags: its setting, or the shipped one where that is left at 0."""
    found = getattr(detector.config, "threshold", 0.0) or getattr(detector, "threshold", 0.0)
    return float(found) if found else None
