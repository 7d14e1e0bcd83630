"""The path or name of ``weir`` for commands that Weir prints, so that users can paste these commands."""

import sys
from pathlib import Path


def weir_command() -> str:
    """Return the path of the ``weir`` script beside this Python (``.venv/bin/weir``), else ``weir``."""
    script = Path(sys.executable).with_name("weir")
    try:
        return str(script.relative_to(Path.cwd()))
    except ValueError:
        return str(script) if script.exists() else "weir"
