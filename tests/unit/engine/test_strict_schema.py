"""Schemas with ``strict: true``: a keyword that xgrammar does not follow is 400."""

import asyncio
import json

import pytest
from xgrammar import Grammar
from xgrammar.testing import _is_grammar_accept_string as accepts

from serving.backend import ModelRequest, RejectedRequest
from serving.engine.errors import SchemaRejectedError
from serving.engine.factory import create_engine
from serving.engine.strict_schema import check_strict
from serving.replica.model_server import ModelServer
from serving.settings import ModelSettings

_INTEGER = {"type": "integer"}
_AB = {"type": "object", "properties": {"a": _INTEGER, "b": _INTEGER}, "additionalProperties": False}
#: Schemas, and an answer that breaks each of them although xgrammar accepts it.
_NOT_FOLLOWED = [
    ({"not": {"const": 3}}, 3),
    (_INTEGER | {"not": {"const": 3}}, 3),
    ({"type": "array", "items": _INTEGER, "uniqueItems": True}, [1, 1]),
    ({"type": "array", "items": _INTEGER, "contains": {"const": 3}}, [1]),
    ({"type": "number", "multipleOf": 3}, 4),
    (_AB | {"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}),
    (_AB | {"dependentRequired": {"a": ["b"]}}, {"a": 1}),
    (_AB | {"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}),
    (_AB | {"propertyNames": {"pattern": "^b$"}}, {"a": 1}),
    (_AB | {"patternProperties": {"^c$": _INTEGER}, "additionalProperties": True}, {"c": "x"}),
    ({"type": "object", "patternProperties": {"^b": _INTEGER}, "propertyNames": {"pattern": "^a"}}, {"b": 1}),
    ({"type": "object", "additionalProperties": False, "propertyNames": {"pattern": "^a"}}, {"a": 1}),
    ({"type": "object", "unevaluatedProperties": False, "propertyNames": {"pattern": "^a"}}, {"a": 1}),
    (_AB | {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": "x"}),
    (_AB | {"allOf": [{"required": ["a"]}]}, {}),
    ({"allOf": [_INTEGER, {"minimum": 3}]}, "x"),
    ({"type": "array", "items": _INTEGER, "contains": {}}, []),
    (_AB | {"required": ["c"], "additionalProperties": True}, {"a": 1}),
    ({"$defs": {"x": _INTEGER}, "$ref": "#/$defs/x", "minimum": 3}, 2),
    ({"enum": [1, 5], "minimum": 3}, 1),
    ({"minimum": 3}, 2),
    ({"maxLength": 3}, "abcd"),
    ({"type": "string", "pattern": "^a*$", "maxLength": 3}, "aaaa"),
]
#: Schemas, and an answer that breaks each of them and that xgrammar rejects.
_FOLLOWED = [
    (_AB | {"required": ["a"], "minProperties": 2, "title": "t", "description": "d"}, {"a": 1}),
    ({"type": "object", "properties": {"not": _INTEGER, "if": _INTEGER, "uniqueItems": _INTEGER}}, {"not": "x"}),
    ({"type": "array", "items": _INTEGER, "uniqueItems": False, "minItems": 1}, []),
    ({"anyOf": [_INTEGER | {"minimum": 3}, {"type": "null"}], "default": None}, 2),
    ({"oneOf": [_AB, _INTEGER], "discriminator": {"propertyName": "a"}}, "x"),
    ({"allOf": [_AB], "title": "t"}, {"a": "x"}),
    ({"$defs": {"x": _INTEGER}, "$ref": "#/$defs/x"}, "x"),
    ({"type": "string", "enum": ["a", "b"]}, "c"),
    ({"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083}, "x y"),  # pydantic's HttpUrl
    ({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}, "x"),  # zod's iso.date
    ({"type": "object", "additionalProperties": _INTEGER, "propertyNames": {"pattern": "^b$"}}, {"a": 1}),
    ({"type": "object", "additionalProperties": False, "patternProperties": {"^b$": _INTEGER}}, {"b": "x"}),
]


@pytest.mark.parametrize(("schema", "answer"), _NOT_FOLLOWED, ids=json.dumps)
def test_keywords_that_xgrammar_ignores_are_rejected_at_any_depth(schema, answer):
    assert accepts(Grammar.from_json_schema(json.dumps(schema)), json.dumps(answer))
    for whole in (schema, {"type": "array", "items": {"anyOf": [schema]}}, {"$defs": {"not": schema}}):
        with pytest.raises(SchemaRejectedError, match=r"strict: true, .* does not follow '.*: change it, or leave out"):
            check_strict(whole)


@pytest.mark.parametrize(("schema", "answer"), _FOLLOWED, ids=json.dumps)
def test_keywords_that_xgrammar_follows_are_accepted(schema, answer):
    check_strict(schema)
    assert not accepts(Grammar.from_json_schema(json.dumps(schema)), json.dumps(answer))


def test_a_reference_outside_defs_is_rejected():
    with pytest.raises(SchemaRejectedError, match=r"a '\$ref' that does not begin with '#/\$defs/'"):
        check_strict({"$ref": "#/components/x", "components": {"x": {"not": {"const": 3}}}})


_ODD = [True, {}, {"$ref": "#"}, {"properties": {"a": 1}, "required": 7}, {"allOf": 3, "$defs": []}, {"items": [{}]}]


@pytest.mark.parametrize("schema", _ODD, ids=json.dumps)
def test_unusual_schemas_are_passed_to_xgrammar(schema):
    check_strict(schema)


@pytest.fixture(scope="module")
def server(tiny_dir):
    settings = ModelSettings(engine="transformers", device="cpu", dtype="float32", slots=4, threads=1, max_length=1024)
    engine = create_engine(settings, tiny_dir)
    engine.load()
    yield ModelServer(engine, max_requests=8)
    asyncio.run(engine.close())


async def _first(server, **fields):
    body = {"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]} | fields
    first, *_ = [item async for item in server.generate(ModelRequest(request_id="1", operation="chat", body=body))]
    return first


@pytest.mark.parametrize("strict", [True, False, None])
async def test_only_a_strict_answer_schema_is_rejected(server, strict):
    wanted = {"name": "x", "schema": _INTEGER | {"not": {"const": 3}}, "strict": strict}
    first = await _first(server, response_format={"type": "json_schema", "json_schema": wanted})
    if not strict:
        assert first["choices"]
        return
    assert (first.status, first.code, first.param) == (400, "invalid_json_schema", "response_format")
    assert "does not follow 'not'" in first.message


@pytest.mark.parametrize(
    ("choice", "refused"),
    [
        ("required", True),
        ({"type": "function", "function": {"name": "strict"}}, True),
        ({"type": "function", "function": {"name": "loose"}}, False),
    ],
    ids=str,
)
async def test_only_a_strict_tool_that_may_be_called_is_rejected(server, choice, refused):
    parameters = {"type": "object", "properties": {"a": _INTEGER | {"not": {"const": 3}}}}
    functions = [{"name": "strict", "strict": True}, {"name": "loose"}]
    tools = [{"type": "function", "function": function | {"parameters": parameters}} for function in functions]
    first = await _first(server, tools=tools, tool_choice=choice)
    assert isinstance(first, RejectedRequest) is refused
    assert not refused or (first.status, first.param) == (400, "tools")
