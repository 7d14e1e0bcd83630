"""The openai library for Python, against the default model."""

import json
from typing import Annotated, Literal

import openai
import pytest
from pydantic import BaseModel, Field
from support.clients_gateway import AGENT, MAX_REQUESTS, MODEL
from support.gateway import KEY

from stream.wire import TextPart, ToolCallPart

ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Count to five."}], "max_tokens": 8, "temperature": 0}


class City(BaseModel):
    name: Annotated[str, Field(max_length=12)]
    size: Literal["small", "large"]
    people: Annotated[int, Field(ge=0, le=99)]


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=60) as made:
        yield made


def ask(text):
    return ASK | {"messages": [{"role": "user", "content": text}]}


def recorded(gateway):
    """Check the properties that all answers of the default model have. Return the records of the request and its end."""
    request, end = gateway.exchange()
    assert (request.model, end.status, end.error) == (MODEL, "complete", None)
    assert end.usage.prompt_tokens > 0
    assert end.usage.completion_tokens > 0
    return request, end


def test_a_conversation(client, gateway):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Name a colour."},
    ]
    answer = client.chat.completions.create(**ASK | {"messages": messages})
    request, end = recorded(gateway)
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert [message.text for message in request.messages] == ["Be brief.", "Hello", "Hi.", "Name a colour."]
    assert end.text == answer.choices[0].message.content
    assert end.usage.total_tokens == answer.usage.total_tokens
    assert end.finish_reason == answer.choices[0].finish_reason


def test_a_stream(client, gateway):
    chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    request, end = recorded(gateway)
    assert request.stream
    assert end.text == text != ""
    assert end.usage.total_tokens == chunks[-1].usage.total_tokens
    assert end.time_to_first_token_seconds < end.latency_seconds


def test_the_stream_helper(client, gateway):
    with client.chat.completions.stream(**ASK) as stream:
        kinds = {event.type for event in stream}
        whole = stream.current_completion_snapshot
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert recorded(gateway)[1].text == whole.choices[0].message.content


def test_parse_returns_an_instance_of_the_schema(client, gateway):
    fields = ask("Describe Oslo.") | {"max_tokens": 120}
    answer = client.chat.completions.parse(**fields, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)
    _, end = recorded(gateway)
    assert City.model_validate_json(end.text) == answer.choices[0].message.parsed


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_tool(client, gateway, stream):
    tool = openai.pydantic_function_tool(City, name="save_city", description="Save a city.")
    choice = {"type": "function", "function": {"name": "save_city"}}
    fields = ask("Save Oslo.") | {"max_tokens": 120, "tools": [tool], "tool_choice": choice}
    if stream:
        with client.chat.completions.stream(**fields) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.parse(**fields)
    (call,) = answer.choices[0].message.tool_calls
    assert isinstance(call.function.parsed_arguments, City)
    request, end = recorded(gateway)
    assert [(tool.name, tool.description) for tool in request.tools] == [("save_city", "Save a city.")]
    assert request.tools[0].parameters["required"] == ["name", "size", "people"]
    part = ToolCallPart(id=call.id, name="save_city", arguments=call.function.arguments)
    assert (end.messages[0].parts, end.finish_reason) == ((part,), "tool_calls")


def test_a_required_tool(client, gateway):
    tool = openai.pydantic_function_tool(City, name="save_city")
    fields = ask("Save Oslo.") | {"max_tokens": 150, "tools": [tool], "tool_choice": "required"}
    answer = client.chat.completions.create(**fields, parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls
    City.model_validate(json.loads(call.function.arguments))
    assert [part.name for part in recorded(gateway)[1].messages[0].parts] == ["save_city"]


def test_log_probabilities(client, gateway):
    answer = client.chat.completions.create(**ASK, logprobs=True)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert all(token.logprob <= 0 for token in tokens)
    assert recorded(gateway)[1].text == answer.choices[0].message.content


def test_all_choices_are_recorded(client, gateway):
    answer = client.chat.completions.create(**ASK | {"temperature": 1, "seed": 1}, n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 3
    _, end = recorded(gateway)
    assert [choice.parts for choice in end.messages] == [(TextPart(content=text),) for text in texts]
    assert end.usage.completion_tokens == answer.usage.completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_completions(client, gateway, stream):
    answer = client.completions.create(model=MODEL, prompt="The sea is", max_tokens=6, temperature=0, stream=stream)
    texts = [choice.text for one in (answer if stream else [answer]) for choice in one.choices]
    request, end = recorded(gateway)
    assert (request.operation, request.text, request.stream) == ("text_completion", "The sea is", stream)
    assert end.text == "".join(texts) != ""


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL, AGENT]
    assert client.models.retrieve(MODEL).owned_by == "weir"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [openai.pydantic_function_tool(City)]}, "tools"),
        ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}
                ]
            },
            "messages.0.content.0.image_url",
        ),
    ],
)
def test_an_unsupported_parameter_is_a_bad_request(client, fields, param):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**ASK | fields)
    assert (raised.value.code, raised.value.param) == ("unsupported_parameter", param)
    assert raised.value.message.count("'openvino'") == 1
    assert param in raised.value.message


def test_a_completion_echoes_its_prompt_with_log_probabilities(client):
    made = client.completions.create(model=MODEL, prompt="The sea is", max_tokens=1, echo=True, logprobs=0)
    (choice,) = made.choices
    assert choice.text.startswith("The sea is")
    assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) >= 4
    assert choice.logprobs.token_logprobs[0] is None


def test_the_other_endpoints_are_bad_requests_of_this_engine(client):
    for call in (client.embeddings.create, client.responses.create):
        with pytest.raises(openai.BadRequestError, match="'openvino'") as raised:
            call(model=MODEL, input="text")
        assert raised.value.code == "unsupported_endpoint"


def test_a_schema_that_cannot_be_followed_is_a_bad_request_with_a_record(client, gateway):
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "bogus"}}}
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**ASK, response_format=response_format)
    assert (raised.value.code, raised.value.param) == ("invalid_json_schema", "response_format")
    _, end = gateway.exchange()
    assert (end.status, end.error.kind, end.error.status) == ("error", "invalid_json_schema", 400)


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(**ASK | {"model": "gpt-9"})
    assert raised.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_a_wrong_key_is_an_authentication_error(client):
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").chat.completions.create(**ASK)


def test_more_choices_than_the_replica_accepts_are_400(client, gateway):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**ASK, n=MAX_REQUESTS + 1)
    assert (raised.value.status_code, raised.value.param) == (400, "n")
    _, end = gateway.exchange()
    assert (end.status, end.error.status) == ("error", 400)


async def test_the_asynchronous_client(gateway):
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=60) as client:
        stream = await client.chat.completions.create(**ASK, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert recorded(gateway)[1].text == text
