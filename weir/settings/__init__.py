"""Settings: built-in defaults, then weir.toml, then the environment; loaded once in a process's main."""

from weir.settings.load import Loaded, as_written, changes_since_start, home_folder, key_of, load_settings, shown_values
from weir.settings.settings import MetricsSection, MlflowSection, Settings

__all__ = [
    "Loaded",
    "MetricsSection",
    "MlflowSection",
    "Settings",
    "as_written",
    "changes_since_start",
    "home_folder",
    "key_of",
    "load_settings",
    "shown_values",
]
