"""The check of JSON Schemas before they reach an engine."""

import json
import subprocess
import sys
from itertools import product

import pytest
from xgrammar import Grammar
from xgrammar.testing import _is_grammar_accept_string as accepts

from serving.engine.errors import SchemaRejectedError
from serving.engine.json_schema import _CLASS, _LITERAL, _length_limits, _repeated, check_limits, check_schema


@pytest.mark.parametrize(
    ("limited", "total"),
    [
        ([{"maxLength": 20}, {"maxLength": 20}, {"maxLength": 30}, {"maxLength": 9**999}, {"maxLength": -1}], 450),
        ([{"pattern": "^[a-z]{2}-.{1,30}$"}, {"pattern": "^[a-z]{2}-.{1,30}$"}, {"pattern": r"^x\{9}{7,}$"}], 39),
        ([{"minLength": least, "maxLength": 400} for least in (0, 1, 2, 2)] + [{"maxLength": 400}], 1200),
        ([{"minLength": least} for least in (-1, 0, 30, 30, 500, 501, "40")], 230),
        ([{"maxLength": "20"}, {"properties": {"maxLength": {"maxLength": 5}}}, {"maxItems": 100}], 5),
    ],
)
def test_each_different_length_limit_counts_once(limited, total):
    assert _length_limits({"anyOf": limited}) == total


@pytest.mark.parametrize("limit", [{"minProperties": 1}, {"maxProperties": 900}])
def test_the_properties_of_objects_with_a_limit_of_their_number_are_limited(limit):
    """OpenVINO's time to compile such an object grows with the third power of the number, and all its requests wait."""

    def schema(*counts):
        objects = [{"properties": {f"p{number}": {} for number in range(count)}} | limit for count in counts]
        return json.dumps({"anyOf": objects})

    with pytest.raises(SchemaRejectedError, match="have 101 properties, the limit is 100"):
        check_schema(schema(60, 41))
    assert check_schema(schema(20, 30)) == schema(20, 30)


@pytest.mark.parametrize(
    ("pattern", "repeated"),
    [
        ("^a{0,1000}$", 0),
        ("(?:ab){2,3}", 8),
        (r"^([a-z0-9-]{1,63}\.){1,10}[a-z]{2,63}$", 638),
        ("(a{400}){12}", 4_799),
        ("(([^x]{400}){70}){70}", 1_959_999),
    ],
)
def test_a_character_with_a_count_is_repeated_with_its_group(pattern, repeated):
    assert _repeated(pattern) == repeated


_TEXTS = ["".join(text) for length in range(4) for text in product("ab^$", repeat=length)]


@pytest.mark.parametrize(
    ("pattern", "cleaned"),
    [
        ("^a$", "^a$"),
        ("^a$|^b$", "^a()|()b$"),
        ("(^|a)b(?:$|a)", "(()|a)b(?:()|a)"),
        (r"[^a$]\^\$", r"[^a$]\^\$"),
        ("(?i)^a$|$", "(?i)()a()|$"),
        ("^(?:a$|^b){1,3}", "^(?:a()|()b){1,3}"),
    ],
)
def test_anchors_inside_a_pattern_become_empty_groups_that_match_the_same_texts(pattern, cleaned):
    before, after = ({"type": "string", "pattern": text} for text in (pattern, cleaned))
    assert json.loads(check_limits(json.dumps(before))) == after
    first, second = (Grammar.from_json_schema(json.dumps(schema)) for schema in (before, after))
    for text in map(json.dumps, _TEXTS):
        assert accepts(first, text) == accepts(second, text), text


def test_only_patterns_are_cleaned():
    odd = "a^b"
    schema = {
        "properties": {"pattern": {"const": {"pattern": odd}}, "const": {"enum": [{"pattern": odd}], "title": odd}},
        "patternProperties": {odd: {"type": "string", "format": "email", "pattern": "(?!a)"}},
        "propertyNames": {"pattern": odd},
    }
    expected = schema | {
        "patternProperties": {"a()b": {"type": "string", "format": "email"}},
        "propertyNames": {"pattern": "a()b"},
    }
    assert json.loads(check_limits(json.dumps(schema))) == expected


_PATTERN = {"type": "string", "pattern": "a$|^b"}


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("#/x/const", {"x": {"const": _PATTERN}}),
        ("#//x//const/y/", {"x": {"const": {"y": _PATTERN}}}),
        ("#/properties/properties/const", {"properties": {"properties": {"const": _PATTERN}}}),
        ("#/$defs", {"$defs": _PATTERN}),
        ("#/enum/0", {"enum": [_PATTERN]}),
        ("#/x", {}),
    ],
)
def test_a_reference_to_something_that_is_not_a_schema_is_rejected(reference, place):
    with pytest.raises(SchemaRejectedError, match=r"a \$ref .* that is not a schema: move the definition into \$defs"):
        check_limits(json.dumps({"$ref": reference} | place))


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("#", {}),
        ("#/$defs/const", {"$defs": {"const": {"type": "string"}}}),
        ("#/properties/enum/items", {"properties": {"enum": {"items": {"type": "null"}}}}),
        ("#/definitions/a", {"definitions": {"a": True}}),
    ],
)
def test_a_reference_to_a_schema_is_kept(reference, place):
    schema = {"anyOf": [{"$ref": reference}, {"const": {"$ref": "#a value"}}]} | place
    assert json.loads(check_limits(json.dumps(schema))) == schema


@pytest.mark.parametrize("pattern", ["[[[", "[[[\\", "[a[b"])
def test_a_class_without_an_end_ends_with_the_pattern(pattern):
    """Else a search starts at each ``[`` and reads to the end: 28 s for 16,000 of them."""
    for found in (_LITERAL.finditer(pattern), _CLASS.finditer(pattern)):
        assert [one.span() for one in found] == [(0, len(pattern))]


def test_the_check_of_schemas_imports_neither_torch_nor_transformers():
    program = (
        "import sys\n"
        "from serving.engine.json_schema import check_schema\n"
        """check_schema('{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}')\n"""
        "assert not {'torch', 'transformers', 'xgrammar'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
