"""JSON Schemas of the data of every event, from the structs of ``stream.wire``.

Unknown fields and unlisted values are allowed, because a later version can add both.
"""

from inspect import cleandoc
from typing import Any

import msgspec

from stream.wire import ABORTED_TYPE, EVENT_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]


def components(ref_template: str) -> dict[str, Schema]:
    """Return {struct: schema} for all event data and the nested structs; `ref_template` contains ``{name}``."""
    structs = sorted(set(EVENT_TYPES.values()), key=lambda struct: struct.__name__)
    _, found = msgspec.json.schema_components(structs, ref_template=ref_template)
    return {name: _described(schema) for name, schema in sorted(found.items())}


def event_schemas() -> dict[str, Schema]:
    """Return {event type: complete schema}, sorted by type."""
    return {name: event_schema(name) for name in sorted(EVENT_TYPES)}


def event_schema(event_type: str) -> Schema:
    """Return the schema of one event's data, with its referenced structs under ``$defs``."""
    struct = EVENT_TYPES[event_type].__name__
    every = components("#/$defs/{name}")
    schema = every[struct]
    needed = {name: every[name] for name in _referred(schema, every)}
    head = {"$schema": DIALECT, "$id": f"urn:weir:event:{event_type}", "title": event_type}
    body = {key: value for key, value in schema.items() if key != "title"}
    if event_type == ABORTED_TYPE:
        body["description"] = (
            f"{body['description']}\n\nThis type is the end of a request whose gateway or model replica died."
        )
    return head | body | ({"$defs": needed} if needed else {})


def _described(schema: Schema) -> Schema:
    """Return `schema` with a clean description."""
    described: Schema = _without_discriminators(schema)
    return described | {"description": cleandoc(schema.get("description", ""))}


def _without_discriminators(node: Any) -> Any:
    """Leave out OpenAPI's keyword for tagged unions: in AsyncAPI it has another form, and `type` of each struct has one value."""
    if isinstance(node, list):
        return [_without_discriminators(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_discriminators(value) for key, value in node.items() if key != "discriminator"}


def _referred(schema: Schema, every: dict[str, Schema]) -> list[str]:
    """Return the names of the structs that `schema` refers to, directly or through other structs."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        for name in _names(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(every[name])
    return sorted(found)


def _names(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_names, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*map(_names, node.values()))
