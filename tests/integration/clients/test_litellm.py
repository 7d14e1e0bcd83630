"""LiteLLM as a client."""

import importlib
import os

import pytest
from support.agent_script import FINAL, QUESTION, RESULT, chat_call, chat_text, streamed_call, streamed_text
from support.clients_gateway import AGENT, MODEL
from support.gateway import KEY

# LiteLLM imports its modules at first use, and some cause warnings of pydantic.
pytestmark = pytest.mark.filterwarnings("ignore")
ASK = {"model": f"openai/{MODEL}", "messages": [{"role": "user", "content": "Count to five."}]}
ASK |= {"max_tokens": 8, "temperature": 0}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


@pytest.fixture(scope="module")
def litellm():
    """Import the library late: each test process collects this file, and only one runs its tests."""
    # Without it, the import requests prices from a server.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    return importlib.import_module("litellm")


@pytest.fixture
def options(gateway):
    return {"api_base": gateway.url, "api_key": KEY, "max_retries": 0, "timeout": 60}


def test_a_completion(litellm, options, gateway):
    answer = litellm.completion(**ASK, **options)
    request, end = gateway.exchange()
    assert (request.model, request.text) == (MODEL, "Count to five.")
    assert (end.status, end.text) == ("complete", answer.choices[0].message.content)
    assert end.usage.total_tokens == answer.usage.total_tokens


async def test_a_stream(litellm, options, gateway):
    stream = await litellm.acompletion(**ASK, **options, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    request, end = gateway.exchange()
    assert (request.stream, end.status, end.text) == (True, "complete", text)
    assert chunks[-1].usage.completion_tokens == end.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_tools(litellm, options, upstream, check_agent_records, stream):
    upstream.script = [streamed_call(), streamed_text()] if stream else [chat_call(), chat_text()]
    messages = [{"role": "user", "content": QUESTION}]
    called = _message(litellm, messages, stream, options)
    (call,) = called.tool_calls
    messages += [called.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    assert _message(litellm, messages, stream, options).content == FINAL
    check_agent_records(stream=stream)


def _message(litellm, messages, stream, options):
    answer = litellm.completion(f"openai/{AGENT}", messages, tools=[TOOL], stream=stream, **options)
    return (litellm.stream_chunk_builder(list(answer)) if stream else answer).choices[0].message


def test_the_errors_are_those_of_openai(litellm, options):
    with pytest.raises(litellm.BadRequestError, match="'openvino'"):
        litellm.completion(**ASK, **options, logit_bias={"5": 1})
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**ASK | {"model": "openai/gpt-9"}, **options)
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**ASK, **options | {"api_key": "sk-wrong"})
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**ASK | {"messages": [{"role": "user", "content": "word " * 3000}]}, **options)
