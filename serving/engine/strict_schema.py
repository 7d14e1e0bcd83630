"""Find keywords of a JSON Schema that xgrammar ignores, so that an answer could break the schema.

OpenAI's API also rejects a schema with ``strict: true`` that it cannot follow, and uses other schemas as a guide:
https://platform.openai.com/docs/guides/structured-outputs
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from serving.engine.errors import SchemaRejectedError

#: Keywords without effect. OpenVINO's xgrammar also ignores `multipleOf`, the installed one only for numbers that are no integers.
_IGNORED = (
    "not",
    "if",
    "contains",
    "uniqueItems",
    "multipleOf",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
)
#: A schema with one of these is read as this alone.
_EXCLUSIVE = ("$ref", "anyOf", "oneOf", "allOf", "const", "enum")
_STRING = ("pattern", "format", "minLength", "maxLength")
_NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_OBJECT = ("properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames")
_ARRAY = ("items", "prefixItems", "unevaluatedItems")
_COUNTS = ("required", "minProperties", "maxProperties", "minItems", "maxItems")
_CONSTRAINTS = (*_STRING, *_NUMBER, *_OBJECT, *_ARRAY, *_COUNTS)
_REFERENCE = re.compile(r"#(?:/(?:\$defs|definitions)/.+)?", re.DOTALL)
#: Keywords whose values are schemas: by name, in a list, or one.
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems")


def check_strict(schema: Any) -> None:
    """Raise SchemaRejectedError if the engines do not follow all of `schema`, a JSON Schema as parsed."""
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, dict):
            continue
        for found in _unfollowed(node):
            raise SchemaRejectedError(
                f"the JSON Schema has strict: true, but the engine does not follow {found}: change it, or leave out strict"
            )
        nodes += _subschemas(node)


def _unfollowed(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keywords of one schema that the engines ignore, as words for the error."""
    yield from (f"{name!r}" for name in _IGNORED if name in node and node[name] is not False)
    given = [name for name in _CONSTRAINTS if name in node]
    exclusive = [name for name in _EXCLUSIVE if name in node]
    if exclusive and (others := exclusive[1:] + given):
        yield f"{others[0]!r} beside {exclusive[0]!r}"
    if isinstance(schemas := node.get("allOf"), list) and len(schemas) != 1:
        yield f"'allOf' with {len(schemas)} schemas"
    if not _REFERENCE.fullmatch(str(node.get("$ref", "#"))):
        yield "a '$ref' that does not begin with '#/$defs/'"
    names, required = node.get("properties"), node.get("required")
    if isinstance(names, dict) and isinstance(required, list) and any(name not in names for name in map(str, required)):
        yield "'required' with a name that is not in 'properties'"
    if given and not any(name in node for name in ("type", *_OBJECT, *_ARRAY)):
        yield f"{given[0]!r} without 'type'"
    if "pattern" in node:
        yield from (f"{name!r} beside 'pattern'" for name in ("minLength", "maxLength") if name in node)
    if "patternProperties" in node and "properties" in node:
        yield "'patternProperties' beside 'properties'"
    if "propertyNames" in node:
        yield from (f"'propertyNames' beside {name!r}" for name in ("properties", "patternProperties") if name in node)
        closed = (name for name in ("additionalProperties", "unevaluatedProperties") if node.get(name) is False)
        yield from (f"'propertyNames' beside a false {name!r}" for name in closed)


def _subschemas(node: Mapping[str, Any]) -> Iterator[Any]:
    for name in _NAMED:
        if isinstance(named := node.get(name), dict):
            yield from named.values()
    for name in _LISTED:
        if isinstance(listed := node.get(name), list):
            yield from listed
    yield from (node[name] for name in _SINGLE if name in node)
