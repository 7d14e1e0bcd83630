"""openai-agents: an agent with a function tool, over chat completions and over responses."""

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
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

set_tracing_disabled(disabled=True)


@function_tool
def weather(city: str) -> str:
    """Return the weather in a city."""
    assert city == CITY
    return RESULT


@pytest.fixture
async def client(gateway):
    async with AsyncOpenAI(base_url=gateway.url, api_key=KEY, max_retries=0, timeout=60) as made:
        yield made


def agent_of(model, **options):
    return Agent(name="Weather agent", instructions="Use tools.", tools=[weather], model=model, **options)


async def test_chat_completions(client, upstream, check_agent_records):
    upstream.script = [chat_call(), chat_text()]
    result = await Runner.run(agent_of(OpenAIChatCompletionsModel(AGENT, client)), QUESTION)
    assert result.final_output == FINAL
    assert result.context_wrapper.usage.total_tokens == 56
    check_agent_records(system="Use tools.")


async def test_a_stream(client, upstream, check_agent_records):
    upstream.script = [streamed_call(), streamed_text()]
    result = Runner.run_streamed(agent_of(OpenAIChatCompletionsModel(AGENT, client)), QUESTION)
    kinds = [event.type async for event in result.stream_events()]
    assert "raw_response_event" in kinds
    assert result.final_output == FINAL
    check_agent_records(stream=True, system="Use tools.")


async def test_responses(client, upstream, check_agent_records):
    upstream.script = [response_call(), response_text()]
    result = await Runner.run(agent_of(OpenAIResponsesModel(AGENT, client)), QUESTION)
    assert result.final_output == FINAL
    assert result.context_wrapper.usage.input_tokens == 42
    check_agent_records(operation="responses", system="Use tools.")


async def test_the_default_model_must_call_the_tool(client, gateway):
    called = []

    @function_tool
    def note(number: int) -> str:
        """Write down a number."""
        called.append(number)
        return "noted"

    settings = ModelSettings(tool_choice="required", temperature=0, max_tokens=60)
    model = OpenAIChatCompletionsModel(MODEL, client)
    agent = Agent(name="A", tools=[note], model=model, model_settings=settings, tool_use_behavior="stop_on_first_tool")
    result = await Runner.run(agent, "Write down the number 7.")
    assert called
    assert result.final_output == "noted"
    request, end = gateway.exchange()
    assert [tool.name for tool in request.tools] == ["note"]
    assert (end.status, end.finish_reason) == ("complete", "tool_calls")
    assert {part.name for part in end.messages[0].parts} == {"note"}
