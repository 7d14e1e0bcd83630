"""The detector `tools`: its verdict is expected only if there is a tool call, and the record of an answer has the
schemas of the called tools.
"""

import pytest
from support.inference_ends import ended

from serving.backend import ModelInfo, ModelRequest
from serving.inference_records import ExpectedVerdicts, InferenceRequest, request_record
from serving.intake.reported_exchange import Origin, ReportedExchange, ReportedRequest, ReportedResponse, records_of
from stream.wire import Choice, DeclaredTool, Message, TextPart, ToolCallPart, ToolDefinition

EXPECTED = ExpectedVerdicts(input=("pii", "tools"), output=("pii", "tools"))
CALL = Choice(parts=(ToolCallPart(name="get"),))
TEXT = Choice(parts=(TextPart(content="hello"),))
SCHEMA = {"type": "object"}


def tool(name, schema=SCHEMA):
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}


def end(*choices, body=(), status="complete", expected=EXPECTED):
    return ended(inference(**dict(body)), expected, choices, status)


def inference(**body):
    request = ModelRequest(request_id="r", operation="chat", body=body)
    return InferenceRequest(tenant="t", principal="p", model="m", info=ModelInfo(engine="echo", version="v", context_length=0), request=request)  # fmt: skip


def test_an_answer_with_a_call_has_the_names_and_the_schemas_of_the_called_tools():
    record = end(CALL, body={"tools": [tool("get"), tool("put"), {"type": "web_search"}]})
    assert record.owed == ("tools",)
    assert record.tools == (
        DeclaredTool(name="get", parameters=SCHEMA),
        DeclaredTool(name="put"),
        DeclaredTool(type="web_search", name="web_search"),
    )
    assert end(CALL).tools == ()
    assert end(CALL, body={"functions": [{"name": "get"}]}).tools == (DeclaredTool(name="get", parameters={}),)


@pytest.mark.parametrize(
    ("record", "owed"),
    [
        (end(TEXT, body={"tools": [tool("get")]}), ("pii",)),
        (end(CALL, status="cancelled"), ()),
        (end(CALL, Choice(parts=CALL.parts, finish_reason="length")), ()),
        (end(CALL, TEXT, expected=ExpectedVerdicts(output=("pii",))), ("pii",)),
        (end(), ()),
    ],
)
def test_without_a_call_or_the_detector_the_record_has_no_tools(record, owed):
    assert (record.owed, record.tools) == (owed, None)


def test_the_size_of_the_recorded_declarations_is_bounded():
    large = {"description": "x" * 70_000}
    record = end(CALL, Choice(parts=(ToolCallPart(name="put"),)), body={"tools": [tool("get", large), tool("put")]})
    assert record.tools == (DeclaredTool(name="get"), DeclaredTool(name="put", parameters=SCHEMA))
    too_many = end(CALL, body={"tools": [tool(f"{number:060}") for number in range(1_000)]})
    assert (too_many.owed, too_many.tools) == (("tools",), None)


def test_a_request_expects_the_detector_if_its_history_has_a_call():
    call = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get", "arguments": ""}}],
    }
    assert request_record(inference(messages=[call]), EXPECTED).owed == ("tools",)
    assert request_record(inference(messages=[{"role": "user", "content": "hi"}]), EXPECTED).owed == ("pii",)
    assert request_record(inference(messages=[call, {"role": "user", "content": "hi"}]), EXPECTED).owed == (
        "pii",
        "tools",
    )


@pytest.mark.parametrize(
    ("tools", "status", "owed"),
    [
        ((ToolDefinition(name="get", parameters=SCHEMA),), "complete", ("tools",)),
        ((ToolDefinition(name="get", parameters=SCHEMA),), "error", ()),
        ((), "complete", ()),
    ],
)
def test_an_answer_of_another_gateway_is_checked_if_its_tools_are_known(tools, status, owed):
    exchange = ReportedExchange(
        identity="0" * 32,
        origin=Origin(tenant="t", principal="p"),
        request=ReportedRequest(messages=(Message.of_text("user", "hi"),), tools=tools),
        response=ReportedResponse(choices=(CALL,), status=status),
    )
    begin, found = records_of(exchange, EXPECTED)
    assert (begin.owed, found.owed) == (("pii",), owed)
    assert found.tools == ((DeclaredTool(name="get", parameters=SCHEMA),) if owed else None)
