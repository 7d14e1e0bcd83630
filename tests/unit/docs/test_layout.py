"""The file tree in docs/architecture.md lists every package of the repository, and nothing else, in the order of imports."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("detectors", "serving", "stream", "weir")
_ENTRY = re.compile(r"^( *)([\w.]+/?)(?:  |$)")


def listed():
    """Return the paths of the file tree, read from its indentation."""
    tree = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Where to find a thing")[2]
    tree = tree.split("```")[1]
    parents, paths = {}, []
    for line in tree.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            depth = len(entry.group(1)) // 2
            parents[depth] = (parents[depth - 1] if depth else "") + entry.group(2)
            paths.append(parents[depth])
    return paths


def packages():
    """Return the packages of the first two levels."""
    found = [path.parent for name in PACKAGES for path in (ROOT / name).glob("*/__init__.py")]
    return {f"{path.relative_to(ROOT)}/" for path in found}


@pytest.mark.parametrize("path", listed())
def test_every_path_of_the_tree_exists(path):
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


def test_the_tree_lists_every_package():
    assert packages() - set(listed()) == set()
    stages = {f"stream/stages/{path.parent.name}/" for path in (ROOT / "stream" / "stages").glob("*/__init__.py")}
    assert stages - set(listed()) == set()
    assert len(listed()) > 40


LAYERS = {
    contract["containers"][0].replace(".", "/"): contract["layers"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    if contract["type"] == "layers" and "containers" in contract
}


@pytest.mark.parametrize("package", LAYERS)
def test_the_tree_lists_a_package_above_those_that_it_imports(package):
    level = {name.strip(): index for index, layer in enumerate(LAYERS[package]) for name in layer.split("|")}
    inside = [
        path.removeprefix(f"{package}/").removesuffix("/").removesuffix(".py")
        for path in listed()
        if path.startswith(f"{package}/")
    ]
    order = [name for name in inside if name in level]
    assert len(order) > 3
    assert order == sorted(order, key=level.__getitem__)
