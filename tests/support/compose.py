"""The compose files as docker-compose renders them, without a container engine."""

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BASE, SECURE = "docker-compose.yml", "docker-compose.secure.yml"


def compose_program() -> Path:
    """Return the path of docker-compose in the wheel `compose`. The wheel's own command loses the exit status."""
    package = find_spec("compose")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).with_name("docker-compose")


def compose(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run docker-compose in `folder` with only PATH and HOME in its environment."""
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return subprocess.run(
        [compose_program(), *arguments], cwd=folder, env=clean, capture_output=True, text=True, timeout=60, check=False
    )


def model(*files: str, profiles: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the rendered model of `files`; without `profiles`, those of .env apply."""
    chosen = [part for name in files or (BASE,) for part in ("--file", name)]
    done = compose(*chosen, *(f"--profile={name}" for name in profiles), "config", "--format=json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
