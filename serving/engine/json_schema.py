"""Check the JSON Schema of an answer before an engine uses it: OpenVINO's pipeline fails for all its requests if a schema is invalid."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from serving.engine.errors import SchemaRejectedError

MAX_SCHEMA_CHARACTERS = 16_384
#: Copies of the elements of counted groups, ``(...){n}``, and of characters with a count in a group, in all patterns: nested groups in a pattern
#: of 30 characters used 5 GB.
MAX_REPEATED = 5_000
#: Sum of the different length limits of texts. OpenVINO compiles them for 10 ms of CPU per character, while all its requests wait.
MAX_LENGTH_LIMITS = 2_000
_COSTLIEST_LIMIT = 400  # a larger limit takes no longer
_COSTLIEST_MINIMUM = 100
#: Properties of all objects with ``minProperties`` or ``maxProperties``. OpenVINO compiles 40 of them in .4 s of CPU, 80 in 2 s and 150 in 26 s.
MAX_COUNTED_PROPERTIES = 100
INVALID_SCHEMA = (
    "the JSON Schema is invalid or has a keyword that the engine cannot follow: check types, references and patterns"
)
#: OpenVINO contains an older xgrammar, which fails for what the installed one converts: groups with ``?`` (lookaheads, flags, names of Python),
#: a quantifier after a quantifier, an empty alternative before another one, names with these characters, an empty choice, a reference without a
#: name, a negative ``minLength``.
#: A class without an end ends with the pattern: else the search would need quadratic time for a pattern of many ``[``.
_LITERAL = re.compile(r"\\.|\[(?:\\.?|[^\]\\])*(?:\]|\Z)", re.DOTALL)
_UNSUPPORTED = re.compile(r"\(\?(?!:|<[A-Za-z_])|[*+?}][*+{]|[*+?}]\?\?|\((?:\?(?::|<\w+>))?\||\|\|")
_UNSUPPORTED_NAME = re.compile(r'["\\\x00-\x1f]')
_REFERENCE_TO_NO_NAME = re.compile("#/+")
#: OpenVINO's xgrammar reads the escape of such a character, \xHH, together with the digits behind it: in texts, in character classes of patterns,
#: and if the pattern has the escape itself.
_MISREAD = re.compile(r"[\x7f-\xff][0-9A-Fa-f]")
_CLASS = re.compile(r"\\.|(\[(?:\\.?|[^\]\\])*(?:\]|\Z))", re.DOTALL)
_MISREAD_IN_CLASS = re.compile(r"(?:[\x7f-\xff]|\\u00(?:7[Ff]|[89A-Fa-f][0-9A-Fa-f]))[0-9A-Fa-f]")
_MISREAD_ESCAPE = re.compile(r"\\x[0-9A-Fa-f]{3}")
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}|.", re.DOTALL)
#: xgrammar ignores a lookahead, and an anchor that is not the first or last character of a pattern, and writes the pattern to the process's log.
_LOOKAHEAD = re.compile(r"\(\?[=!]")
_INNER_ANCHOR = re.compile(rf"({_LITERAL.pattern})|(?!\A)\^|\$(?!\Z)", re.DOTALL)
_NAMED_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")


def check_schema(schema: str) -> str:
    """Return `schema` as `check_limits` does; raise SchemaRejectedError unless OpenVINO's xgrammar can convert it to a grammar.

    A hostile schema needs seconds; call this function in a thread.
    """
    schema = check_limits(schema)
    parsed = json.loads(schema)
    if _has_unsupported(parsed):
        raise SchemaRejectedError(INVALID_SCHEMA)
    if any(map(_MISREAD.search, _literals(parsed))):
        raise SchemaRejectedError(
            "the JSON Schema has a property name, a const or an enum in which one of 0-9, a-f or A-F follows a character from U+0080 to"
            " U+00FF, as in 'über': OpenVINO would write another character. Write it without this character, or use the engine transformers"
        )
    if any(map(_is_misread, _patterns(parsed))):
        raise SchemaRejectedError(
            "the JSON Schema has a pattern in which one of 0-9, a-f or A-F follows a character from U+0080 to U+00FF in a character class, as in"
            " [üa-z], or follows an escape such as \\xfc: OpenVINO would read another character. Write such characters last, as in [a-zü]"
        )
    if (total := _length_limits(parsed)) > MAX_LENGTH_LIMITS:
        raise SchemaRejectedError(
            f"the length limits of texts in the JSON Schema (minLength with maxLength, and {{m,n}} in patterns; each different pair"
            f" once, as at most {_COSTLIEST_LIMIT}) sum to {total}, the limit is {MAX_LENGTH_LIMITS}: remove some limits, or give several texts the same limit"
        )
    if (properties := _counted_properties(parsed)) > MAX_COUNTED_PROPERTIES:
        raise SchemaRejectedError(
            f"the objects in the JSON Schema with minProperties or maxProperties have {properties} properties, the limit is {MAX_COUNTED_PROPERTIES}:"
            " remove these keywords, or some properties"
        )
    try:
        # Any white space, no indentation, default separators, strict; no white space limit, no printing, properties in order.
        load_converter().from_json_schema(schema, True, None, None, True, None, False, False)
    except RuntimeError as error:
        raise SchemaRejectedError(INVALID_SCHEMA) from error
    return schema


def check_limits(schema: str) -> str:
    """Return `schema`, in which xgrammar ignores no part of a pattern.

    Raises SchemaRejectedError if `schema` is too long, repeats groups too often, or has a lookahead or a reference to something other than a
    schema in it. xgrammar would accept any value in the place of a reference to another document, and write the reference to the process's log.
    """
    if len(schema) > MAX_SCHEMA_CHARACTERS:
        raise SchemaRejectedError(
            f"the JSON Schema has {len(schema)} characters, the limit is {MAX_SCHEMA_CHARACTERS}: shorten it"
        )
    try:
        parsed = json.loads(schema)
        _clean_patterns(parsed)
        schema = json.dumps(parsed)
        follows_references = _refers_to_schemas(parsed)
        repeated = sum(map(_repeated, _patterns(parsed)))
    except (ValueError, RecursionError) as error:
        raise SchemaRejectedError(INVALID_SCHEMA) from error
    if repeated > MAX_REPEATED:
        raise SchemaRejectedError(
            f"the patterns of the JSON Schema repeat groups {repeated} times, the limit is {MAX_REPEATED}: lower their counts"
        )
    if any(map(_has_lookahead, _patterns(parsed))):
        raise SchemaRejectedError(
            "the JSON Schema has a pattern with a lookahead, (?=...) or (?!...), which the engine cannot follow: remove the lookahead"
        )
    if not follows_references:
        raise SchemaRejectedError(
            "the JSON Schema has a $ref to another document, to an anchor, or to something that is not a schema: move the"
            " definition into $defs, and refer to it with #/$defs/NAME"
        )
    return schema


def _clean_patterns(schema: Any) -> None:
    """Replace the anchors that xgrammar ignores by an empty group; remove a pattern with a lookahead beside ``format``, which xgrammar prefers."""
    for node in _objects(schema, values=False):
        if isinstance(pattern := node.get("pattern"), str):
            node["pattern"] = _without_inner_anchors(pattern)
            if "format" in node and _has_lookahead(pattern):
                del node["pattern"]
        if isinstance(named := node.get("patternProperties"), dict):
            node["patternProperties"] = {_without_inner_anchors(name): value for name, value in named.items()}


def _refers_to_schemas(schema: Any) -> bool:
    """Return whether each ``$ref`` leads to an object that `_clean_patterns` reads as a schema, or to a boolean.

    xgrammar also follows a reference into a value of ``const``, or to ``$defs`` itself, where patterns are not cleaned.
    """
    schemas = list(_objects(schema, values=False))
    known = set(map(id, schemas))
    references = (reference for node in schemas if isinstance(reference := node.get("$ref"), str))
    targets = (_target(schema, reference) for reference in references)
    return all(isinstance(target, bool) or id(target) in known for target in targets)


def _target(schema: Any, reference: str) -> Any:
    """Return what xgrammar finds at `reference`, or None: it ignores empty names, and reads no index of a list."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    for name in filter(None, reference[1:].split("/")):
        schema = schema.get(name) if isinstance(schema, dict) else None
    return schema


def _without_inner_anchors(pattern: str) -> str:
    return _INNER_ANCHOR.sub(lambda found: found[1] or "()", pattern)


def _has_lookahead(pattern: str) -> bool:
    return _LOOKAHEAD.search(_LITERAL.sub("x", pattern)) is not None


def _has_unsupported(schema: Any) -> bool:
    """Return whether the schema has something for which OpenVINO's pipeline would fail, with all its requests."""
    if any(_UNSUPPORTED.search(_LITERAL.sub("x", pattern)) for pattern in _patterns(schema)):
        return True
    for node in _objects(schema):
        names = node.get("properties")
        if isinstance(names, dict) and any(map(_UNSUPPORTED_NAME.search, names)):
            return True
        if [] in (node.get("anyOf"), node.get("oneOf")) or _REFERENCE_TO_NO_NAME.fullmatch(str(node.get("$ref"))):
            return True
        if isinstance(least := node.get("minLength"), int) and least < 0:
            return True
    return False


def _is_misread(pattern: str) -> bool:
    classes = (match[1] for match in _CLASS.finditer(pattern) if match[1])
    return _MISREAD_ESCAPE.search(pattern) is not None or any(map(_MISREAD_IN_CLASS.search, classes))


def _literals(schema: Any) -> Iterator[str]:
    """Yield the texts that an answer must contain as they are: names of properties, and the JSON of each ``const`` and ``enum``."""
    for node in _objects(schema):
        names = node.get("properties")
        yield from names if isinstance(names, dict) else ()
        if "const" in node:
            yield json.dumps(node["const"], ensure_ascii=False)
        if isinstance(values := node.get("enum"), list):  # a property named "enum" has a dict
            yield json.dumps(values, ensure_ascii=False)


def _patterns(schema: Any) -> Iterator[str]:
    for node in _objects(schema):
        named = node.get("patternProperties")
        yield from named if isinstance(named, dict) else ()
        if isinstance(pattern := node.get("pattern"), str):
            yield pattern


def _objects(schema: Any, *, values: bool = True) -> Iterator[dict[str, Any]]:
    """Yield each object of `schema`, without `values` only those that can be schemas: no value of ``const`` or ``enum``."""
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if isinstance(node, list):
            nodes += node
        elif isinstance(node, dict):
            yield node
            for name, value in node.items():
                if not values and name in _NAMED_SCHEMAS and isinstance(value, dict):
                    nodes += value.values()
                elif values or name not in {"const", "enum"}:
                    nodes.append(value)


def _repeated(pattern: str) -> int:
    """Return how many elements the counts of `pattern` add if its groups are written out."""
    plain, sizes, group = 0, [0], 0
    for token in _COUNTED.finditer(_LITERAL.sub("x", pattern)):
        if token[1] is not None:
            count = max(int(token[1]), int(token[2] or 0))
            # Outside of groups, a character with a count stays one element; `_length_limits` counts it.
            if group or len(sizes) > 1:
                sizes[-1] += (group or 1) * (count - 1)
            group = 0
        elif token[0] == "(":
            sizes.append(0)
            group = 0
        elif token[0] == ")" and len(sizes) > 1:
            group = sizes.pop()
            sizes[-1] += group
        else:
            sizes[-1] += 1
            plain, group = plain + 1, 0
    return max(0, sum(sizes) - plain)


def _length_limits(schema: Any) -> int:
    """Return the sum of the different length limits of texts, each as at most `_COSTLIEST_LIMIT` characters.

    OpenVINO compiles each different pair of ``minLength`` and ``maxLength`` by itself. Without ``maxLength``, a minimum takes as long as a limit of at most
    `_COSTLIEST_MINIMUM` characters.
    """
    limits: dict[tuple[str | int, int], int] = {}
    for node in _objects(schema):
        least, most = node.get("minLength"), node.get("maxLength")
        least = max(least, 0) if isinstance(least, int) else 0
        if isinstance(most, int):
            limits[least, most] = most
        else:
            limits["", least] = min(least, _COSTLIEST_MINIMUM)
    for pattern in _patterns(schema):
        tokens = _COUNTED.finditer(_LITERAL.sub("x", pattern))
        counts = (int(token[2] or token[1]) for token in tokens if token[1] is not None)
        limits |= {(pattern, count): count for count in counts}
    return sum(min(max(limit, 0), _COSTLIEST_LIMIT) for limit in limits.values())


def _counted_properties(schema: Any) -> int:
    """Return the number of properties of the objects whose number of properties has a limit."""
    counted = (node for node in _objects(schema) if not {"minProperties", "maxProperties"}.isdisjoint(node))
    return sum(len(names) for node in counted if isinstance(names := node.get("properties"), dict))


@cache
def load_converter() -> Any:
    """Return xgrammar's class of grammars, from its library alone.

    ``import xgrammar`` imports torch and transformers: 4 s and 590 MB, instead of 0.4 s and 27 MB. Raises
    ModuleNotFoundError.
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
