"""Fixtures for real clients: a gateway process with capture, the default model, and a scripted server as the model `agent`."""

import pytest

from stream.wire import TextPart, ToolCallPart, ToolResponsePart
from support.agent_script import ARGUMENTS, CALL_ID, FINAL, QUESTION, RESULT
from support.clients_gateway import AGENT, clients_gateway, upstream_in_thread


@pytest.fixture(scope="session")
def scripted():
    with upstream_in_thread() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def running_gateway(tmp_path_factory, scripted):
    with clients_gateway(tmp_path_factory.mktemp("gateway"), scripted.url) as gateway:
        yield gateway


@pytest.fixture
def gateway(running_gateway):
    """The gateway, with the records of this test only."""
    running_gateway.forget()
    return running_gateway


@pytest.fixture
def upstream(scripted):
    """The scripted server, with the requests of this test only."""
    scripted.requests.clear()
    return scripted


@pytest.fixture
def check_agent_records(gateway):
    """Check the records of an agent that called the tool ``weather`` once and then answered."""

    def check(*, operation="chat", stream=False, system=""):
        exchanges = gateway.exchanges(2)
        for request, end in exchanges:
            assert (request.model, request.operation, request.stream) == (AGENT, operation, stream)
            assert [tool.name for tool in request.tools] == ["weather"]
            assert list(request.tools[0].parameters["properties"]) == ["city"]
            assert (end.status, end.usage.prompt_tokens, end.usage.completion_tokens) == ("complete", 21, 7)
        (first, called), (second, answered) = exchanges
        beginning = [("user", (TextPart(content=QUESTION),))]
        if system:
            beginning.insert(0, ("system", (TextPart(content=system),)))
        call = ToolCallPart(id=CALL_ID, name="weather", arguments=ARGUMENTS)
        assert _turns(first) == beginning
        assert _turns(called) == [("assistant", (call,))]
        result = ToolResponsePart(id=CALL_ID, response=RESULT)
        assert _turns(second) == [*beginning, ("assistant", (call,)), ("tool", (result,))]
        assert _turns(answered) == [("assistant", (TextPart(content=FINAL),))]

    return check


def _turns(record):
    return [(message.role, message.parts) for message in record.messages]
