"""Settings: built-in defaults, then weir.toml, then the environment; built once in a process's main."""

from weir.settings.load import (
    ConsoleSection,
    Loaded,
    MetricsSection,
    MlflowSection,
    SentinelSection,
    Settings,
    TraceSection,
    key_of,
    load_settings,
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
