"""The contract between every backend and a gateway, checked with replicas and with an upstream server.

The upstream server is a gateway of Weir with the engine `echo`.
"""

import asyncio
import json
import socket
from contextlib import aclosing, asynccontextmanager

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from support.gateway import KEY, InProcess, make_gateway, write_keys
from support.inference_ends import answer_of, generated
from support.tiny_gguf import save_tiny_gguf

from serving.api_keys import keys_path
from serving.backend import ModelInfo, ModelRequest, RejectedRequest
from serving.engine.factory import create_engine
from serving.replica.model_server import ModelServer
from serving.settings import ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend

KINDS = ("echo", "openvino", "upstream")
TEXT = "the weir measures what flows over it"
LONG = "word " * 20_000


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("tiny"), eos_token_id=None)


@asynccontextmanager
async def replica(kind, files):
    limit = 256 if kind == "openvino" else 8192
    settings = ModelSettings(engine=kind, device="cpu", dtype="float32", slots=3, threads=1, max_length=limit)
    engine = create_engine(settings, files)
    server = ModelServer(engine, max_requests=8)
    await server.load()
    try:
        yield InProcess(server, 8), lambda: engine.stats().running
    finally:
        await server.close()


@asynccontextmanager
async def weir_behind_weir(home, files):
    async with replica("echo", files) as (backend, running):
        write_keys(keys_path(home), ("k_1", "acme", KEY, None))
        gateway = make_gateway(home, backend, None, CollectorRegistry())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = uvicorn.Server(uvicorn.Config(gateway, log_level="warning", access_log=False))
            serving = asyncio.create_task(server.serve([listener]))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            settings = ModelSettings(
                engine="upstream", base_url=url, upstream_model="echo", upstream_api_key=KEY, slots=3, queue=5
            )
            upstream = UpstreamBackend("mine", settings, UpstreamMetrics(CollectorRegistry()))
            try:
                yield upstream, running
            finally:
                await upstream.close()
                server.should_exit = True
                await serving


@pytest.fixture(params=KINDS)
async def backend(request, tmp_path, model_files):
    opened = (
        weir_behind_weir(tmp_path, model_files) if request.param == "upstream" else replica(request.param, model_files)
    )
    async with opened as (backend, running):
        backend.running = running
        yield backend


def a_request(text=TEXT, operation="chat", **fields):
    content = {"messages": [{"role": "user", "content": text}]} if operation == "chat" else {"prompt": text}
    body = {"model": "mine", "max_tokens": 6, "temperature": 0, "stream": True} | content | fields
    return ModelRequest(request_id="r-1", operation=operation, body=body)


async def test_it_describes_itself(backend):
    info = await backend.describe()
    assert isinstance(info, ModelInfo)
    assert info.engine in KINDS
    assert info.version
    assert backend.capacity() == 8


@pytest.mark.parametrize("operation", ["chat", "text_completion"])
async def test_a_stream_is_one_complete_answer_with_its_usage(backend, operation):
    items = await generated(backend, a_request(operation=operation))
    json.dumps(items)
    so_far = answer_of(items)
    assert so_far.finished
    (choice,) = so_far.recorded()
    assert choice.finish_reason == "length"
    assert choice.text
    assert so_far.usage.completion_tokens == 6
    assert so_far.usage.prompt_tokens > 0
    assert not so_far.invalid_counts


async def test_a_whole_answer_is_the_streamed_answer(backend):
    streamed = answer_of(await generated(backend, a_request()))
    whole = answer_of(await generated(backend, a_request(stream=False)))
    assert whole.recorded() == streamed.recorded()
    assert whole.usage == streamed.usage


async def test_several_choices(backend):
    so_far = answer_of(await generated(backend, a_request(n=2)))
    assert len(so_far.recorded()) == 2
    assert so_far.finished


async def test_a_prompt_that_is_too_long_is_rejected_with_400(backend):
    *_, rejected = await generated(backend, a_request(LONG * 2))
    assert isinstance(rejected, RejectedRequest)
    assert rejected.status == 400
    assert "word" not in rejected.message
    assert await generated(backend, a_request())


async def until_free(backend):
    deadline = asyncio.get_running_loop().time() + 10
    while backend.running():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_closing_the_answer_frees_the_slot(backend):
    async with aclosing(backend.generate(a_request("w " * 60, max_tokens=100))) as items:
        await anext(items)
    await until_free(backend)
    assert answer_of(await generated(backend, a_request())).finished


async def test_a_cancelled_answer_frees_the_slot(backend):
    task = asyncio.create_task(generated(backend, a_request("w " * 60, max_tokens=100)))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until_free(backend)


async def test_requests_beyond_the_capacity_are_rejected_with_503(backend):
    request = a_request(max_tokens=100)
    answers = await asyncio.gather(*(generated(backend, request) for _ in range(12)))
    rejected = [items[-1] for items in answers if isinstance(items[-1], RejectedRequest)]
    assert {(one.code, one.status) for one in rejected} <= {("queue_full", 503)}
    assert len(rejected) == 4
    assert all(answer_of(items).finished for items in answers if not isinstance(items[-1], RejectedRequest))
