"""The openai library for Node, in a separate process."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.agent_script import FINAL, chat_call, chat_text, streamed_call, streamed_text
from support.clients_gateway import AGENT, MODEL
from support.gateway import KEY

FOLDER = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def node():
    path = shutil.which("node")
    if path is None:
        pytest.fail("node is not on PATH: install Node 20 or newer with npm (Debian: apt-get install nodejs npm)")
    if not (FOLDER / "node_modules" / "openai").is_dir():
        pytest.fail("the library openai for Node is not installed: install npm and run `make test-clients`")
    return path


@pytest.fixture
def run(node, gateway):
    def step(name, model=MODEL):
        command = [node, str(FOLDER / "client.mjs"), name, gateway.url, KEY, model]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return step


@pytest.mark.parametrize("name", ["chat", "stream"])
def test_an_answer(run, gateway, name):
    answer = run(name)
    request, end = gateway.exchange()
    assert (request.stream, request.text) == (name == "stream", "Count to five.")
    assert (end.status, end.text) == ("complete", answer["content"])
    assert end.usage.total_tokens == answer["usage"]["total_tokens"]
    if name == "chat":
        assert answer["requestId"] == request.request_id


def test_structured_output(run, gateway):
    rating = run("structured")
    assert rating["stars"] in range(1, 6)
    assert json.loads(gateway.exchange()[1].text) == rating


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent(run, upstream, check_agent_records, stream):
    upstream.script = [streamed_call(), streamed_text()] if stream else [chat_call(), chat_text()]
    assert run("agentStream" if stream else "agent", AGENT) == {"content": FINAL}
    check_agent_records(stream=stream)


def test_models_and_errors(run):
    assert run("models") == [MODEL, AGENT]
    assert run("errors") == [
        ["BadRequestError", 400, "unsupported_parameter", "logit_bias"],
        ["NotFoundError", 404, "model_not_found", "model"],
        ["AuthenticationError", 401, "invalid_api_key", None],
    ]
