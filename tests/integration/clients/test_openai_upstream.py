"""The openai library for Python with the engine `upstream` and another server: an agent, embeddings, responses, retries."""

import base64
import struct

import openai
import pytest
from pydantic import BaseModel
from support.agent_script import (
    CALL_ID,
    FINAL,
    QUESTION,
    RESULT,
    chat_call,
    chat_text,
    response_call,
    response_text,
    streamed_call,
    streamed_response,
    streamed_text,
)
from support.clients_gateway import AGENT
from support.gateway import KEY
from support.scripted_upstream import Answer

from stream.wire import TextPart, ToolCallPart, ToolResponsePart

MESSAGES = [{"role": "user", "content": QUESTION}]
FAILURE = {"error": {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "rate_limited"}}


class Weather(BaseModel):
    """The weather in a city."""

    city: str


TOOL = openai.pydantic_function_tool(Weather, name="weather")
RESPONSE_TOOL = {"type": "function", "strict": True} | {k: TOOL["function"][k] for k in ("name", "parameters")}


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=30) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_tool_calls(client, upstream, check_agent_records, stream):
    upstream.script = [streamed_call(), streamed_text()] if stream else [chat_call(), chat_text()]
    messages = list(MESSAGES)
    called = _finished(client, messages, stream)
    (call,) = called.tool_calls
    assert call.function.parsed_arguments == Weather(city="Oslo")
    messages += [called, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    assert _finished(client, messages, stream).content == FINAL
    check_agent_records(stream=stream)
    assert [body["model"] for body in upstream.bodies] == ["provider-model"] * 2


def _finished(client, messages, stream):
    fields = {"model": AGENT, "messages": messages, "tools": [TOOL]}
    if not stream:
        return client.chat.completions.parse(**fields).choices[0].message
    with client.chat.completions.stream(**fields) as events:
        return events.get_final_completion().choices[0].message


def test_embeddings(client, gateway, upstream):
    # The library requests Base64 and decodes it.
    packed = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    rows = [{"object": "embedding", "index": number, "embedding": packed} for number in range(2)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    upstream.script = [Answer.json({"object": "list", "model": "provider-model", "data": rows, "usage": usage})]
    answer = client.embeddings.create(model=AGENT, input=["one", "two"])
    assert [row.embedding for row in answer.data] == [[0.5, -1.0, 2.0]] * 2
    assert (answer.model, upstream.bodies[0]["encoding_format"]) == (AGENT, "base64")
    request, end = gateway.exchange()
    assert (request.operation, [message.text for message in request.messages]) == ("embeddings", ["one", "two"])
    assert (end.status, end.usage.prompt_tokens, end.messages) == ("complete", 4, ())


def test_responses_with_a_tool(client, gateway, upstream):
    upstream.script = [response_call(), response_text()]
    fields = {"model": AGENT, "instructions": "Be brief.", "tools": [RESPONSE_TOOL]}
    first = client.responses.create(input=QUESTION, **fields)
    (call,) = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}
    second = client.responses.create(input=[{"role": "user", "content": QUESTION}, call, result], **fields)
    assert second.output_text == FINAL
    (_, called), (request, end) = gateway.exchanges(2)
    part = ToolCallPart(id=CALL_ID, name="weather", arguments=call.arguments)
    assert called.messages[0].parts == (part,)
    assert [(message.role, message.parts) for message in request.messages] == [
        ("system", (TextPart(content="Be brief."),)),
        ("user", (TextPart(content=QUESTION),)),
        ("assistant", (part,)),
        ("tool", (ToolResponsePart(id=CALL_ID, response=RESULT),)),
    ]
    assert (end.status, end.text, end.usage.total_tokens) == ("complete", FINAL, 28)


def test_a_stream_of_a_response(client, gateway, upstream):
    upstream.script = [streamed_response()]
    with client.responses.stream(model=AGENT, input=QUESTION) as events:
        kinds = [event.type for event in events]
        whole = events.get_final_response()
    assert (kinds[0], kinds[-1], whole.output_text) == ("response.created", "response.completed", FINAL)
    assert whole.model == AGENT
    request, end = gateway.exchange()
    assert (request.operation, request.stream, end.status, end.text) == ("responses", True, "complete", FINAL)


@pytest.mark.parametrize(("status", "error"), [(429, openai.RateLimitError), (503, openai.InternalServerError)])
def test_a_request_to_a_busy_server_is_retried(client, gateway, upstream, status, error):
    busy = Answer.json(FAILURE, status=status, retry_after="0.1")
    upstream.script = [busy, chat_text()]
    answer = client.with_options(max_retries=1).chat.completions.create(model=AGENT, messages=MESSAGES)
    assert answer.choices[0].message.content == FINAL
    (_, failed), (_, end) = gateway.exchanges(2)
    assert (failed.status, failed.error.status, end.status) == ("error", status, "complete")
    gateway.forget()
    upstream.script = [busy]
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=AGENT, messages=MESSAGES)
    assert (raised.value.status_code, raised.value.body) == (status, FAILURE["error"])
    assert gateway.exchange()[1].error.status == status


def test_an_error_in_the_middle_of_a_stream_is_raised(client, gateway, upstream):
    begun = streamed_text().pieces[:3]
    upstream.script = [Answer(*begun, "break")]
    seen = []
    with pytest.raises(openai.APIError):
        seen.extend(
            chunk.choices[0].delta.content
            for chunk in client.chat.completions.create(model=AGENT, messages=MESSAGES, stream=True)
        )
    _, end = gateway.exchange()
    assert end.status == "error"
    assert end.text == "Take an "
