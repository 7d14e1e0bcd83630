"""The Python versions that Weir supports: every place names the same, and every locked package permits them."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from weir.local import doctor

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_CLASSIFIER = "Programming Language :: Python :: 3."
VERSIONS = [f"3.{text.removeprefix(_CLASSIFIER)}" for text in PROJECT["classifiers"] if text.startswith(_CLASSIFIER)]
#: A Python that returns VERSION as its version.
_PRETENDER = """#!/bin/sh
if [ "$1" = --version ]; then echo Python VERSION.0; exit; fi
exec "{python}" -c 'import sys; sys.version_info = (*map(int, "VERSION".split(".")), 0); del sys.argv[0]; exec(sys.argv[1])' "$@"
"""


def test_every_place_names_the_same_versions():
    permitted = SpecifierSet(PROJECT["requires-python"])
    assert [version for minor in range(40) if permitted.contains(version := f"3.{minor}")] == VERSIONS
    assert f"\nPYTHONS := {' '.join(VERSIONS)}\n" in (ROOT / "Makefile").read_text()
    assert [f"{major}.{minor}" for major, minor in doctor._PYTHONS] == VERSIONS
    assert f"Python {', '.join(VERSIONS[:-1])} or {VERSIONS[-1]}" in (ROOT / "README.md").read_text()


def test_every_locked_package_permits_every_version():
    """The installation does not check this: uv ignores the upper bound of a package's Requires-Python."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = [Requirement(line.removesuffix("\\")) for line in lines if "==" in line]
    installed = {}
    for found in metadata.distributions():
        texts = found.metadata  # each access parses the file
        name = texts["Name"].lower().replace("_", "-")
        installed[f"{name}=={texts['Version']}"] = SpecifierSet(texts.get("Requires-Python", ""))
    refused = [
        f"{package.name} with Python {version}"
        for package in locked
        for version in VERSIONS
        if package.marker is None or package.marker.evaluate({"python_full_version": f"{version}.9"})
        if not installed.get(f"{package.name}{package.specifier}", SpecifierSet()).contains(f"{version}.9")
    ]
    assert refused == []


def _install_with(version: str, folder: Path) -> str:
    """Return what `make` prints if PYTHON is of this version; "" if it begins to install."""
    python = folder / "python"
    python.write_text(_PRETENDER.format(python=sys.executable).replace("VERSION", version))
    python.chmod(0o700)
    (folder / "pyproject.toml").touch()
    for lock in ("requirements.lock", "requirements-models.lock"):
        (folder / lock).touch()
    command = [
        "make",
        "--no-print-directory",
        "--file",
        ROOT / "Makefile",
        f"PYTHON={python}",
        "VENV=/dev/null/venv",
        "demo",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_make_refuses_another_version_and_names_the_supported_versions(version, tmp_path):
    printed = _install_with(version, tmp_path)
    assert f"python is Python {version}.0; Weir needs one of the versions {' '.join(VERSIONS)}.\n" in printed
    assert f"make PYTHON=python{VERSIONS[-1]} demo\n" in printed


@pytest.mark.parametrize("version", VERSIONS)
def test_make_accepts_the_supported_versions(version, tmp_path):
    assert "has no venv module" in _install_with(version, tmp_path)
