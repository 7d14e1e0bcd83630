"""LangChain: chat models, structured output, and an agent with a tool, over chat completions and over responses."""

from typing import Annotated

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field
from support.agent_script import (
    CITY,
    FINAL,
    QUESTION,
    RESULT,
    chat_call,
    chat_text,
    response_call,
    response_text,
    streamed_call,
    streamed_text,
)
from support.clients_gateway import AGENT, MODEL
from support.gateway import KEY
from support.scripted_upstream import Answer


@tool
def weather(city: str) -> str:
    """Return the weather in a city."""
    assert city == CITY
    return RESULT


class Rating(BaseModel):
    """A rating."""

    stars: Annotated[int, Field(ge=1, le=5)]


@pytest.fixture
async def options(gateway):
    # The library does not close the connections of the clients that it creates.
    with httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            yield {
                "base_url": gateway.url,
                "api_key": KEY,
                "max_retries": 0,
                "timeout": 60,
                "http_client": client,
                "http_async_client": async_client,
            }


@pytest.fixture
def chat_options(options):
    # By default, the library requests the usage of a stream only if the address is OpenAI's.
    return options | {"stream_usage": True}


@pytest.fixture
def chat(chat_options):
    return ChatOpenAI(model=MODEL, temperature=0, max_tokens=30, **chat_options)


def test_invoke(chat, gateway):
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Name a colour.")])
    request, end = gateway.exchange()
    assert [(message.role, message.text) for message in request.messages] == [
        ("system", "Be brief."),
        ("user", "Name a colour."),
    ]
    assert (end.status, end.text) == ("complete", answer.text)
    assert end.usage.total_tokens == answer.usage_metadata["total_tokens"]


def test_a_prompt_that_is_too_long_raises_the_context_error(chat):
    with pytest.raises(ContextOverflowError):
        chat.invoke("word " * 3000)


async def test_a_stream(chat, gateway):
    chunks = [chunk async for chunk in chat.astream("Count to five.")]
    request, end = gateway.exchange()
    assert (request.stream, end.status, end.text) == (True, "complete", "".join(chunk.text for chunk in chunks))
    usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    assert [usage["output_tokens"] for usage in usages] == [end.usage.completion_tokens]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat, gateway, method):
    rated = chat.with_structured_output(Rating, method=method).invoke("Rate the film.")
    assert isinstance(rated, Rating)
    request, end = gateway.exchange()
    (part,) = end.messages[0].parts
    assert Rating.model_validate_json(part.text) == rated
    assert [tool.name for tool in request.tools] == ([] if method == "json_schema" else ["Rating"])


def test_a_completion(options, gateway):
    text = OpenAI(model=MODEL, temperature=0, max_tokens=6, **options).invoke("The sea is")
    request, end = gateway.exchange()
    assert (request.operation, request.text, end.text) == ("text_completion", "The sea is", text)


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent(chat_options, upstream, check_agent_records, stream):
    upstream.script = [streamed_call(), streamed_text()] if stream else [chat_call(), chat_text()]
    model = ChatOpenAI(model=AGENT, streaming=stream, **chat_options)
    agent = create_agent(model, [weather], system_prompt="Use tools.")
    messages = agent.invoke({"messages": [HumanMessage(QUESTION)]})["messages"]
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[-1].text == FINAL
    assert messages[-1].usage_metadata["input_tokens"] == 21
    check_agent_records(stream=stream, system="Use tools.")


def test_an_agent_over_responses(options, upstream, check_agent_records):
    upstream.script = [response_call(), response_text()]
    agent = create_agent(ChatOpenAI(model=AGENT, use_responses_api=True, **options), [weather])
    messages = agent.invoke({"messages": [HumanMessage(QUESTION)]})["messages"]
    assert messages[-1].text == FINAL
    check_agent_records(operation="responses")


def test_embeddings(options, gateway, upstream):
    rows = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    upstream.script = [Answer.json({"object": "list", "model": "provider-model", "data": rows, "usage": usage})]
    # Without tiktoken, because its wheel does not contain its vocabulary files.
    embeddings = OpenAIEmbeddings(model=AGENT, check_embedding_ctx_length=False, **options)
    assert embeddings.embed_query("a text") == [0.5, 1.5]
    request, end = gateway.exchange()
    assert (request.text, end.status, end.usage.prompt_tokens) == ("a text", "complete", 2)
