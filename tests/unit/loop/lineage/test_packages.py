"""Imports of `weir why`.

The console shows chains in the ledger's container, which lacks the packages of the extra `loop`.
"""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[4]


def modules_of_the_extra():
    """Return the top-level modules that only the extra `loop` installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {Requirement(line).name for line in extras["loop"]} - {Requirement(line).name for line in extras["stream"]}
    distributions = metadata.packages_distributions()
    return sorted(module for module, found in distributions.items() if found and set(found) <= names)


def test_why_imports_no_package_of_the_extra_loop():
    blocked = modules_of_the_extra()
    assert {"pyarrow", "datasketch", "peft"} <= set(blocked)
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); from click.testing import CliRunner; from weir.cli import main;"
        " done = CliRunner().invoke(main, ['why', 'm_0123456789ab']); print(done.output, repr(done.exception))"
    )
    environment = {"PATH": "/usr/bin:/bin", "WEIR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "127.0.0.1:1" in done.stdout, done.stdout + done.stderr
    assert "SystemExit(1)" in done.stdout, done.stdout
