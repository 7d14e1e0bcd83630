"""Errors of the detectors package; `DetectorError` is the base class of all."""


class DetectorError(Exception):
    """Base class of the errors that this package raises on purpose."""


class UnknownDetectorError(DetectorError):
    """No detector with this name is registered."""


class ConfigError(DetectorError, ValueError):
    """A detector option has an unknown name or an invalid value."""


class WeightsError(DetectorError):
    """Weights are missing, or their digest is not the pinned digest."""


class NotLoadedError(DetectorError, RuntimeError):
    """A score was requested before ``load()`` was called."""


class UnsupportedError(DetectorError):
    """The settings name a numeric type or a device that this machine does not support."""


class DataError(DetectorError, ValueError):
    """Labelled data cannot be read; the message names the file, the value and what is expected."""


class StateMismatch(DetectorError, ValueError):
    """A snapshot cannot be restored: it is corrupt, or from another detector, version or configuration."""
