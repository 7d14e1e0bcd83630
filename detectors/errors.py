"""Errors of the detectors package.

::

    DetectorError
    ├── UnknownDetectorError   no detector of that name is registered
    ├── ConfigError            a configuration key or value that the detector does not know
    ├── WeightsError           weights are missing, or differ from the pinned ones
    ├── NotLoadedError         scored before ``load()``
    ├── DataError              labelled data that cannot be read
    ├── ExtraMissing           a library of an optional extra is not installed
    └── StateMismatch          a snapshot that this detector cannot continue from
"""

__all__ = [
    "ConfigError",
    "DataError",
    "DetectorError",
    "ExtraMissing",
    "NotLoadedError",
    "StateMismatch",
    "UnknownDetectorError",
    "WeightsError",
]


class DetectorError(Exception):
    """Root of every error that this package raises on purpose."""


class UnknownDetectorError(DetectorError, KeyError):
    """No detector of that name is registered."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ConfigError(DetectorError, ValueError):
    """A configuration key or value that the detector does not know."""


class WeightsError(DetectorError):
    """Weights are missing, or differ from the pinned ones."""


class NotLoadedError(DetectorError, RuntimeError):
    """A detector was asked to score before ``load()``."""


class DataError(DetectorError, ValueError):
    """Labelled data cannot be read; the message names the file, the value and what is expected."""


class ExtraMissing(DetectorError, ImportError):
    """A library of an optional extra is not installed."""


class StateMismatch(DetectorError, ValueError):
    """A snapshot that this detector cannot continue from: corrupt, another version, another configuration."""
