"""Wrong tool calls, correct ones, and schemas and arguments that are written to block the check."""

import json

import pytest
from transformers.utils import get_json_schema

from detectors.registry import create_text
from detectors.text.tools import MadeCall, ToolCall, repetitions

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "pattern": "^[A-Z]"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"enum": ["C", "F"]},
        "tags": {"type": "array", "uniqueItems": True},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FIT = [
    '{"city": "Rome"}',
    '{"city": "Rome", "days": 3, "unit": "C"}',
    '{"city": "Rome", "x-a": "b", "tags": ["a", "b", {"a": 1}, {"a": 2}]}',
]
WRONG = [
    "",
    "{}",
    '{"city": "Rome"',
    '["Rome"]',
    "null",
    '{"city": 3}',
    '{"city": "rome"}',
    '{"city": "Rome", "days": 0}',
    '{"city": "Rome", "days": true}',
    '{"city": "Rome", "unit": "K"}',
    '{"city": "Rome", "town": 1}',
    '{"city": "Rome", "x-a": 1}',
    '{"city": "Rome", "tags": [{"a": 1, "b": 2}, {"b": 2, "a": 1}]}',
]


def doubled(keyword):
    """Return a schema whose naive evaluation takes 2**60 steps."""
    levels = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    return {"$ref": "#/$defs/d0", "$defs": levels | {"d60": {"type": "integer"}}}


A_LONG = json.dumps({"a": "a" * 200_000})
HOSTILE = {
    "exponential": (doubled("anyOf"), "{}"),
    "exponential, exactly one": (doubled("oneOf"), "{}"),
    "unevaluated": (doubled("allOf") | {"unevaluatedProperties": False}, '{"a": 1}'),
    "endless": ({"allOf": [{"$ref": "#"}]}, "{}"),
    "remote": ({"$ref": "http://127.0.0.1:9/schema"}, "{}"),
    "many messages": ({"properties": {"a": {"anyOf": [{"type": "integer"}] * 5_000}}}, A_LONG),
    "many divisions": (
        {"properties": {"a": {"items": {"multipleOf": 5e-324}}}},
        json.dumps({"a": [1.7976931348623157e308] * 10_000}),
    ),
    "many values": (
        {"properties": {"a": {"items": {"not": {"enum": list(range(-9_999, 0))}}}}},
        json.dumps({"a": list(range(30_000))}),
    ),
    "a pattern that RE2 refuses": ({"properties": {"a": {"pattern": "(?=a)a"}}}, '{"a": "a"}'),
    "many patterns": (
        {"patternProperties": {f"(x{n})+y": {} for n in range(2_000)}},
        json.dumps({f"k{n}": 1 for n in range(2_000)}),
    ),
    "patterns that are large": (
        {"properties": {f"k{n}": {"pattern": f"xy\\pL{{300}}{n}"} for n in range(60)}},
        json.dumps({f"k{n}": "xy" for n in range(60)}),
    ),
    "more patterns than a check has": (
        {"properties": {f"k{n}": {"pattern": f"^x{n}"} for n in range(65)}},
        json.dumps({f"k{n}": f"x{n}" for n in range(65)}),
    ),
    "a long pattern": ({"properties": {"a": {"pattern": "[\\pL]" * 10_000}}}, '{"a": "a"}'),
    "a pattern whose search is slow": (
        {"properties": {"a": {"pattern": "(a|b|ab|ba){1000}c"}}},
        json.dumps({"a": "ab" * 50_000}),
    ),
    "long arguments": ({}, json.dumps({"a": "a" * 300_000})),
    "deep arguments": ({}, '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "an unknown type": ({"type": "strng"}, "{}"),
    "an invalid keyword": ({"properties": 3}, "{}"),
}


def scored(detector, **call):
    return detector.score_many([ToolCall(name="get", **call).text])[0]


def test_a_call_of_an_undeclared_tool_is_flagged(detector):
    score = scored(detector, declared=False)
    assert (score.score, score.label, score.flagged, score.covered) == (1.0, "undeclared", True, 1.0)


@pytest.mark.parametrize("arguments", WRONG)
def test_arguments_that_do_not_fit_the_schema_are_flagged(detector, arguments):
    score = scored(detector, arguments=arguments, parameters=SCHEMA)
    assert (score.label, score.flagged) == ("arguments", True)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_arguments_with_a_number_that_json_does_not_have_are_flagged(detector, value):
    assert value_of(detector, value, {"type": "number"}) == "arguments"
    assert value_of(detector, f'"{value}"', {"type": "string"}) == "ok"


@pytest.mark.parametrize("arguments", FIT)
def test_arguments_that_fit_the_schema_are_not_flagged(detector, arguments):
    score = scored(detector, arguments=arguments, parameters=SCHEMA)
    assert (score.score, score.label, score.covered) == (0.0, "ok", 1.0)


def value_of(detector, value, schema):
    """Return the label of a call with the argument `value` (JSON), whose schema is `schema`."""
    return scored(detector, arguments=f'{{"x": {value}}}', parameters={"properties": {"x": schema}}).label


@pytest.mark.parametrize(
    ("value", "factor", "fits"),
    [
        ("19.99", 0.01, True),
        ("4.35", 0.01, True),
        ("0.3", 0.1, True),
        ("1e22", 0.01, True),
        ("7", 0.5, True),
        ("1e300", 7, False),
        ("19.995", 0.01, False),
        ("0.35", 0.1, False),
        ("6", 4, False),
        ("8", 4, True),
        ("9" * 400, 0.01, True),
        ('"a"', 0.01, True),
    ],
)
def test_multiples_are_those_of_the_decimal_numbers(detector, value, factor, fits):
    assert value_of(detector, value, {"multipleOf": factor}) == ("ok" if fits else "arguments")


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        ("50", {"maximum": 100, "exclusiveMaximum": True}, True),
        ("100", {"maximum": 100, "exclusiveMaximum": True}, False),
        ("100", {"maximum": 100, "exclusiveMaximum": False}, True),
        ("1", {"minimum": 0, "exclusiveMinimum": True}, True),
        ("0", {"minimum": 0, "exclusiveMinimum": True}, False),
        ("0", {"minimum": 0, "exclusiveMinimum": False}, True),
        ("-1", {"minimum": 0, "exclusiveMinimum": False}, False),
        ("5", {"exclusiveMinimum": True}, True),
        ("0.5", {"exclusiveMinimum": 0}, True),
        ("0", {"exclusiveMinimum": 0}, False),
        ("1", {"exclusiveMaximum": 1}, False),
        ('"a"', {"exclusiveMaximum": 1}, True),
    ],
)
def test_an_exclusive_bound_is_a_number_or_makes_the_other_bound_exclusive(detector, value, schema, fits):
    assert value_of(detector, value, schema) == ("ok" if fits else "arguments")


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        ("null", {"type": "integer", "nullable": True}, True),
        ("null", {"type": "string", "enum": ["a"], "nullable": True}, True),
        ("null", {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True}, True),
        ("1", {"type": "integer", "nullable": True}, True),
        ('"a"', {"type": "integer", "nullable": True}, False),
        ("null", {"type": "integer", "nullable": False}, False),
        ("null", {"type": "integer", "nullable": "yes"}, False),
        ("null", {"type": "integer"}, False),
    ],
)
def test_a_nullable_argument_can_be_null(detector, value, schema, fits):
    assert value_of(detector, value, schema) == ("ok" if fits else "arguments")


def test_the_schema_that_transformers_writes_for_an_optional_argument_allows_null(detector):
    def search(query: str, limit: int | None = None) -> None:
        """Search.

        Args:
            query: the words
            limit: the largest number of results
        """

    parameters = get_json_schema(search)["function"]["parameters"]
    assert parameters["properties"]["limit"]["nullable"] is True
    call = {"arguments": '{"query": "a", "limit": null}', "parameters": parameters}
    assert scored(detector, **call).label == "ok"


def test_an_integer_that_python_does_not_read_is_not_checked(detector):
    assert value_of(detector, "9" * 4_300, {"type": "integer"}) == "ok"
    assert value_of(detector, "9" * 4_301, {"type": "integer"}) == "error"


def test_a_tool_without_parameters_needs_an_object_or_nothing(detector):
    assert [scored(detector, arguments=text, parameters={}).label for text in ("", "{}", "x")] == [
        "ok",
        "ok",
        "arguments",
    ]
    assert scored(detector, arguments="free text").label == "ok"


def test_a_call_whose_declaration_is_unknown_has_the_label_error(detector):
    score = scored(detector, arguments="x", declared=None)
    assert (score.label, score.covered, score.flagged) == ("error", 0.0, False)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_schema_or_argument_ends_the_check(detector, kind):
    schema, arguments = HOSTILE[kind]
    score = scored(detector, arguments=arguments, parameters=schema)
    assert (score.label, score.covered) == ("error", 0.0)
    assert scored(detector, arguments=FIT[0], parameters=SCHEMA).label == "ok"


def test_the_calls_of_an_answer_share_one_budget(detector):
    schema = {"properties": {f"k{n}": {"pattern": f"^.{{1,{430 + n}}}$"} for n in range(60)}}
    keys = {f"k{n}": "xy" for n in range(60)}
    one = ToolCall(name="get", arguments=json.dumps(keys), parameters=schema)
    many = [ToolCall(name="get", arguments=json.dumps(keys | {"n": n}), parameters=schema, calls=64) for n in range(64)]
    assert detector.score_many([one.text])[0].label == "ok"
    scores = detector.score_many([call.text for call in many])
    assert {(score.label, score.covered) for score in scores} == {("error", 0.0)}


def test_the_cost_of_a_pattern_does_not_depend_on_earlier_patterns(detector):
    schema = {"properties": {f"k{n}": {"pattern": f"^.{{1,{400 + n}}}$"} for n in range(6)}}
    arguments = json.dumps({f"k{n}": "x" for n in range(6)})
    call = ToolCall(name="get", arguments=arguments, parameters=schema, calls=64)
    assert [detector.score_many([call.text])[0].label for _ in range(8)] == ["error"] * 8


def test_a_call_with_a_schema_that_is_too_deep_has_the_label_error(detector):
    text = '{"name":"get","parameters":' + '{"a":' * 5_000 + "1" + "}" * 5_000 + "}"
    score = detector.score_many([text])[0]
    assert (score.label, score.covered, score.flagged) == ("error", 0.0, False)


def test_a_pattern_that_is_slow_for_backtracking_is_checked(detector):
    arguments = json.dumps({"a": "a" * 100_000 + "!"})
    assert scored(detector, arguments=arguments, parameters={"properties": {"a": {"pattern": "^(a+)+$"}}}).flagged


def test_the_fourth_equal_call_is_a_loop(detector):
    scores = [scored(detector, times=times) for times in (1, 3, 4, 100)]
    assert [(score.score, score.label) for score in scores] == [
        (0.0, "ok"),
        (0.375, "ok"),
        (0.5, "loop"),
        (1.0, "loop"),
    ]


def test_the_options_set_the_limits():
    strict = create_text("tools", {"loop_calls": 2, "check_arguments": False})
    strict.load()
    assert scored(strict, times=2).label == "loop"
    assert scored(strict, arguments="x", parameters=SCHEMA).label == "ok"


@pytest.mark.parametrize("text", ["hello", "{}", "[" * 100_000, '{"name": "f", "times": 0}'])
def test_a_text_that_is_no_call_is_not_flagged(detector, text):
    assert not detector.score_many([text])[0].flagged


@pytest.mark.parametrize(
    ("calls", "times"),
    [
        ([("f", "1", "r")] * 3, [1, 2, 3]),
        ([("f", '{"a": 1, "b": 2}', "r"), ("f", '{"b":2,"a":1}', "r")], [1, 2]),
        ([("f", "{", "r"), ("f", "{", "r")], [1, 2]),
        ([("f", "1", "r"), ("g", "1", "r"), ("f", "1", "r")], [1, 1, 1]),
        ([("f", "1", "r"), ("f", "2", "r")], [1, 1]),
        ([("f", "1", "r"), ("f", "1", "another")], [1, 1]),
        ([("f", "1", None), ("f", "1", "r"), ("f", "1", None)], [1, 2, 3]),
        ([("f", "1", "r"), ("f", "1", None), ("f", "1", "another")], [1, 2, 1]),
        ([], []),
    ],
)
def test_equal_calls_with_equal_results_are_repetitions(calls, times):
    assert repetitions(MadeCall(*call) for call in calls) == times
