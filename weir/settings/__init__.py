"""Settings: built-in defaults, then weir.toml, then the environment; loaded once in a process's main."""

from weir.settings.load import Loaded, as_written, home_folder, key_of, load_settings
from weir.settings.settings import MetricsSection, MlflowSection, Settings

__all__ = [
    "Loaded",
    "MetricsSection",
    "MlflowSection",
    "Settings",
    "as_written",
    "home_folder",
    "key_of",
    "load_settings",
]
