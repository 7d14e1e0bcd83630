"""Settings: built-in defaults, then weir.toml, then the environment; loaded once in a process's main."""

from weir.settings.load import Loaded, key_of, load_settings
from weir.settings.settings import (
    ConsoleSection,
    MetricsSection,
    MlflowSection,
    SentinelSection,
    Settings,
    TraceSection,
)

__all__ = [
    "ConsoleSection",
    "Loaded",
    "MetricsSection",
    "MlflowSection",
    "SentinelSection",
    "Settings",
    "TraceSection",
    "key_of",
    "load_settings",
]
