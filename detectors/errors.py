"""Errors of the detectors package; all are a `DetectorError`."""

__all__ = [
    "ConfigError",
    "DataError",
    "DetectorError",
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


class StateMismatch(DetectorError, ValueError):
    """A snapshot that this detector cannot continue from: corrupt, another version, another configuration."""
