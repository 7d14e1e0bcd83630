"""Names, parameters, sources and pinned versions of the libraries that Weir relies on."""

import importlib
import importlib.machinery
import importlib.metadata
import inspect
import re
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_MARKS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def found(name: str) -> object:
    """Return the value of a name `module:attribute.attribute`, None if it does not exist."""
    module, _, path = name.partition(":")
    first, *rest = path.split(".")
    value = getattr(importlib.import_module(module), first, None)
    for part in rest:
        value = inspect.getattr_static(value, part, None)
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
    return value


def parameters_of(function: object) -> str:
    """Return the parameters as in a definition, without defaults and annotations."""
    parts, keyword_only = [], False
    for parameter in inspect.signature(function).parameters.values():  # type: ignore[arg-type]
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
        keyword_only |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        parts.append(_MARKS.get(parameter.kind, "") + parameter.name)
    return ", ".join(parts)


def check_pin(distribution: str) -> None:
    """Fail unless pyproject.toml pins exactly the installed version of a distribution."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [
        *project["dependencies"],
        *(item for items in project["optional-dependencies"].values() for item in items),
    ]
    found = {item for item in listed if re.split(r"[\[=<>~!]", item)[0] == distribution}
    version = importlib.metadata.version(distribution)
    assert {item.split("==")[-1] for item in found} == {version}, f"{found}, installed is {version}"


@cache
def sources(package: str) -> str:
    """Return the Python source of a whole package, which is not imported."""
    paths = sorted(folder_of(package).rglob("*.py"))
    return "\n".join(path.read_text(errors="replace") for path in paths)


def folder_of(package: str) -> Path:
    """Return the folder of a package, which is not imported."""
    root, *rest = package.split(".")
    spec = importlib.machinery.PathFinder.find_spec(root)
    assert spec is not None
    (folder,) = spec.submodule_search_locations or ()
    return Path(folder, *rest)
