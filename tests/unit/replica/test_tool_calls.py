"""Tool calls in the text of an answer, for any chunks of the text."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from serving.backend import ModelRequest
from serving.engine.echo_engine import EchoEngine
from serving.engine.json_schema import check_schema
from serving.openai_api.accumulator import Accumulator
from serving.replica.engine_request import engine_request
from serving.replica.model_server import ModelServer
from serving.replica.tool_calls import tool_call_reader
from stream.wire import ToolCallPart


def read(kind, text, cuts=(), function=""):
    """Return (text, {index: (id, name, arguments)}) of an answer that arrives in chunks cut at `cuts`."""
    reader = tool_call_reader(kind, function, "call_")
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [reader.push(text[a:b]) for a, b in pairwise(edges) if a < b]
    pieces.append(reader.flush())
    calls: dict[int, list[str]] = {}
    for call in (call for piece in pieces for call in piece.calls):
        seen = calls.setdefault(call["index"], ["", "", ""])
        seen[0] += call.get("id", "")
        seen[1] += call["function"].get("name", "")
        seen[2] += call["function"]["arguments"]
    assert reader.calls == len(calls)
    return "".join(piece.text for piece in pieces), {index: tuple(call) for index, call in calls.items()}


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
CUTS = st.lists(st.integers(min_value=0, max_value=400), max_size=12)


@given(CUTS)
def test_tagged_calls_are_removed_from_the_text_around_them(cuts):
    text, calls = read("tagged", f"I add. {CALL}{CALL} Done <b>", cuts)
    assert text == "I add.  Done <b>"
    assert calls == {0: ("call_0", "add", '{"a": 1}'), 1: ("call_1", "add", '{"a": 1}')}


@given(CUTS)
def test_a_tag_without_a_call_is_text(cuts):
    for broken in (
        "<tool_call>not JSON</tool_call>",
        '<tool_call>{"arguments": {}}</tool_call>',
        "<tool_call>{",
        "a <tool_c",
    ):
        assert read("tagged", broken, cuts) == (broken, {})


@pytest.mark.parametrize("parallel", [False, True, None])
async def test_without_parallel_calls_the_answer_ends_after_the_first_call(parallel):
    body = {
        "messages": [{"role": "user", "content": f"I add. {CALL} {CALL} Done"}],
        "tools": [{"type": "function", "function": {"name": "add"}}],
        "parallel_tool_calls": parallel,
    }
    server = ModelServer(EchoEngine(1024), max_requests=1)
    answer = Accumulator()
    async for chunk in server.generate(ModelRequest(request_id="r", operation="chat", body=body)):
        answer.add(chunk)
    (choice,) = answer.recorded()
    calls = [part for part in choice.parts if isinstance(part, ToolCallPart)]
    assert [(call.name, call.arguments) for call in calls] == [("add", '{"a": 1}')] * (1 if parallel is False else 2)
    assert choice.text.split() == ["I", "add."] + ([] if parallel is False else ["Done"])
    assert choice.finish_reason == "tool_calls"


@given(CUTS)
def test_the_answer_of_a_named_function_is_its_arguments(cuts):
    assert read("named", '{"a": 1}', cuts, "add") == ("", {0: ("call_0", "add", '{"a": 1}')})


@given(CUTS)
def test_a_list_of_calls_is_read(cuts):
    listed = json.dumps([{"name": "f", "arguments": {"x": "é"}}, {"name": "g", "arguments": {}}])
    assert read("listed", listed, cuts) == ("", {0: ("call_0", "f", '{"x": "é"}'), 1: ("call_1", "g", "{}")})


def test_an_incomplete_list_is_text():
    assert read("listed", '[{"name": "f", "argum') == ('[{"name": "f", "argum', {})


def test_plain_text_is_not_searched():
    assert read("none", CALL) == (CALL, {})


def test_a_lone_surrogate_in_a_call_becomes_a_question_mark():
    _, calls = read("tagged", '<tool_call>{"name": "f\\ud800", "arguments": {"a": "\\ud800"}}</tool_call>')
    assert calls == {0: ("call_0", "f?", '{"a": "?"}')}


@pytest.mark.parametrize("value", ["NaN", "1e999", "-Infinity"])
def test_the_template_gets_arguments_with_a_number_that_json_does_not_have_as_text(value):
    arguments = f'{{"a": [{value}]}}'
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}
    request = engine_request(ModelRequest(request_id="r", operation="chat", body=body))
    (shown,) = request.messages[1]["tool_calls"]
    assert shown["function"]["arguments"] == arguments


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "book"}}], ids=str)
def test_the_parameters_of_a_forced_call_keep_their_references(choice):
    city = {"type": "object", "properties": {"name": {"type": "string"}, "part_of": {"$ref": "#/$defs/city"}}}
    parameters = {"type": "object", "properties": {"to": {"$ref": "#/$defs/city"}}, "$defs": {"city": city}}
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in ("book", "cancel")]
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": tools, "tool_choice": choice}
    schema = engine_request(ModelRequest(request_id="r", operation="chat", body=body)).sampling.json_schema
    check_schema(schema)
    good, bad = ({"to": {"name": "Rome", "part_of": {"name": name}}} for name in ("Italy", 7))
    if choice == "required":
        good, bad = ([{"name": "cancel", "arguments": arguments}] for arguments in (good, bad))
    validator = Draft202012Validator(json.loads(schema))
    assert (validator.is_valid(good), validator.is_valid(bad)) == (True, False)
