"""How this command was called, to print commands that are ready to paste."""

import sys
from pathlib import Path

__all__ = ["weir_command"]


def weir_command() -> str:
    """Return ``.venv/bin/weir`` where that is what runs here, else ``weir``."""
    script = Path(sys.executable).with_name("weir")
    try:
        return str(script.relative_to(Path.cwd()))
    except ValueError:
        return str(script) if script.exists() else "weir"
