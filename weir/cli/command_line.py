"""The name of the ``weir`` command in printed commands, so that users can paste them."""

import sys
from pathlib import Path

__all__ = ["weir_command"]


def weir_command() -> str:
    """Return ``.venv/bin/weir`` if that command runs here, else ``weir``."""
    script = Path(sys.executable).with_name("weir")
    try:
        return str(script.relative_to(Path.cwd()))
    except ValueError:
        return str(script) if script.exists() else "weir"
