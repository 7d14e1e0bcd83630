"""Check the JSON Schema of an answer before an engine uses it: OpenVINO's pipeline fails for all its requests if a schema is invalid."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from serving.engine.errors import SchemaRejectedError

__all__ = ["INVALID_SCHEMA", "MAX_SCHEMA_CHARACTERS", "check_limits", "check_schema", "load_converter"]

#: Compiling a schema of this size may stop the engine's other requests for one or two seconds.
MAX_SCHEMA_CHARACTERS = 16_384
INVALID_SCHEMA = (
    "the JSON Schema is invalid or has a keyword that the engine cannot follow: check types, references and patterns"
)


def check_schema(schema: str) -> None:
    """Raise SchemaRejectedError unless xgrammar can convert the JSON Schema in `schema` to a grammar.

    A hostile schema takes seconds; call this function in a thread.
    """
    check_limits(schema)
    try:
        # Any white space, no indentation, default separators, strict; no white space limit, no printing, properties in order.
        load_converter().from_json_schema(schema, True, None, None, True, None, False, False)
    except RuntimeError as error:
        raise SchemaRejectedError(INVALID_SCHEMA) from error


def check_limits(schema: str) -> None:
    """Raise SchemaRejectedError if `schema` is too long, or has a reference to another document.

    xgrammar would accept any value in the place of such a reference, and write the reference to the process's log.
    """
    if len(schema) > MAX_SCHEMA_CHARACTERS:
        raise SchemaRejectedError(
            f"the JSON Schema has {len(schema)} characters, the limit is {MAX_SCHEMA_CHARACTERS}: shorten it"
        )
    try:
        is_local = all(reference == "#" or reference.startswith("#/") for reference in _references(json.loads(schema)))
    except (ValueError, RecursionError) as error:
        raise SchemaRejectedError(INVALID_SCHEMA) from error
    if not is_local:
        raise SchemaRejectedError(
            "the JSON Schema has a $ref to another document or to an anchor: move the definition into $defs, and"
            " refer to it with #/$defs/NAME"
        )


def _references(schema: Any) -> Iterator[str]:
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                yield reference
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node


@cache
def load_converter() -> Any:
    """Return xgrammar's class of grammars, from its library alone.

    ``import xgrammar`` imports torch and transformers: 4 s and 590 MB, instead of 0.4 s and 27 MB.
    """
    if (xgrammar := sys.modules.get("xgrammar")) is not None:
        return xgrammar.base._core.Grammar  # noqa: SLF001 - the class that is registered below
    tvm_ffi = _tvm_ffi()
    package = importlib.util.find_spec("xgrammar")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("xgrammar is not installed: install the extra 'serving'", name="xgrammar")
    tvm_ffi.libinfo.load_lib_module("xgrammar", "xgrammar_bindings", extra_lib_paths=[Path(package.origin).parent])

    class Grammar(tvm_ffi.Object):  # type: ignore[misc,name-defined] # the module is imported at run time
        """A grammar; the library adds the methods."""

    return tvm_ffi.register_object("xgrammar.tvm_ffi_binding.Grammar")(Grammar)


def _tvm_ffi() -> ModuleType:
    """Import tvm_ffi, which imports torch if it can, without torch."""
    has_torch = "torch" in sys.modules
    if not has_torch:
        sys.modules["torch"] = None  # type: ignore[assignment] # Python's way to make an import fail
    try:
        return importlib.import_module("tvm_ffi")
    finally:
        if not has_torch:
            del sys.modules["torch"]
