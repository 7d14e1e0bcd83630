"""The names in private_names.toml exist with the expected parameters, and the versions of their libraries are pinned."""

import inspect
import re
import tomllib
from itertools import chain
from pathlib import Path
from types import FunctionType

import pytest
from support.private_names import ROOT, check_pin, folder_of, found, parameters_of, sources

from stream.runtime import app, table, transport, worker

LISTS = tomllib.loads((Path(__file__).parent / "private_names.toml").read_text())
NAMES = [
    (file, name, parameters)
    for kind in ("names", "overrides")
    for file, names in LISTS[kind].items()
    for name, parameters in names.items()
]
LISTED_OVERRIDES = dict(chain.from_iterable(names.items() for names in LISTS["overrides"].values()))
ATTRIBUTES = [
    (file, owner, one) for file, owners in LISTS["attributes"].items() for owner in owners for one in owners[owner]
]
DEFINITIONS = [(file, name) for file, names in LISTS["mlflow"].items() for name in names]
SUBCLASSES = (
    app.BaseApp,
    table.AckedTable,
    table.TableManager,
    transport.Consumer,
    transport.ConsumerThread,
    transport.Producer,
    transport.Transport,
    worker._Worker,
)
OVERRIDES = {
    f"{cls.__base__.__module__}:{cls.__base__.__qualname__}.{name}": value
    for cls in SUBCLASSES
    for name, value in vars(cls).items()
    if isinstance(value, FunctionType | property) and name != "__init__" and hasattr(cls.__base__, name)
}


@pytest.mark.parametrize(("file", "name", "parameters"), NAMES)
def test_a_name_exists_with_its_parameters(file, name, parameters):
    value = found(name)
    assert value is not None, f"{name} does not exist; look at {file}"
    assert not parameters or parameters_of(value) == parameters, f"look at {file}"


@pytest.mark.parametrize(("file", "owner", "attribute"), ATTRIBUTES)
def test_an_instance_has_the_attribute(file, owner, attribute):
    assert f"self.{attribute}" in inspect.getsource(found(owner)), f"look at {file}"


@pytest.mark.parametrize(("file", "name"), DEFINITIONS)
def test_mlflow_defines_the_name(file, name):
    text = (folder_of("mlflow") / file).read_text()
    assert re.search(rf"^{name} = ", text, re.MULTILINE), "look at weir/local/mlflow_server.py"


def test_weir_overrides_the_listed_methods_and_no_others():
    """A new version of Faust may have a method whose name Weir's subclass already uses."""
    assert OVERRIDES.keys() == LISTED_OVERRIDES.keys()


@pytest.mark.parametrize("name", sorted(LISTED_OVERRIDES))
def test_an_override_has_the_parameters_of_the_method(name):
    own = parameters_of(OVERRIDES[name])
    listed = LISTED_OVERRIDES[name]
    before = own.removesuffix("*args, **kwargs")
    assert own == listed or (before != own and listed.startswith(before)), "look at stream/runtime"
    assert inspect.iscoroutinefunction(OVERRIDES[name]) == inspect.iscoroutinefunction(found(name))


@pytest.mark.parametrize("method", sorted({name.rpartition(".")[2] for name in OVERRIDES}))
def test_an_override_of_a_method_of_faust_is_called(method):
    """If Faust has the method but no longer calls the method, the override has no effect, and no error shows it."""
    assert re.findall(rf"(?<!super\(\))\.{method}\b(?!\s*=[^=])", sources("faust") + sources("mode"))


@pytest.mark.parametrize("file", sorted(set(chain(LISTS["names"], LISTS["overrides"], LISTS["attributes"]))))
def test_a_listed_file_exists(file):
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("distribution", ["aiokafka", "faust-streaming", "mlflow", "ray", "transformers", "uvicorn"])
def test_a_version_is_pinned(distribution):
    check_pin(distribution)
