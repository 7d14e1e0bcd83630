"""The contract between a backend and a gateway, and the additions of vLLM, with a replica that this process calls through Ray."""

import asyncio
import json
import time
from contextlib import aclosing

import pytest
import pytest_asyncio
from support.inference_ends import answer_of, generated
from support.vllm_serving import ADAPTERS, MAX_LENGTH, MODEL, connected

from serving.backend import ANY_FIELD, RUNNING_USAGE, ModelRequest, RejectedRequest
from serving.engine.model_files import directory_digest, model_version, version_of

SLOTS = 4
CAPACITY = 16
TEXT = "Tell me about the sea."
pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backends(serving):
    """Connect in the event loop of the tests, because a handle of Ray needs a running loop."""
    with connected(serving, CAPACITY) as backends:
        yield backends


@pytest.fixture
def backend(backends):
    return backends[""]


@pytest.fixture
def asked(model):
    """Return a function that makes a request."""

    def ask(text=TEXT, operation="chat", **fields):
        content = {"messages": [{"role": "user", "content": text}]} if operation == "chat" else {"prompt": text}
        common = {"model": MODEL, "max_tokens": 6, "temperature": 0, "stream": True, "ignore_eos": True}
        return ModelRequest(request_id=f"r-{time.monotonic_ns()}", operation=operation, body=common | content | fields)

    return ask


def texts(items):
    return [choice.text for choice in answer_of(items).recorded()]


async def until_free(backend):
    deadline = time.monotonic() + 30
    while (await backend.describe()).stats.running:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_it_describes_the_model_and_each_adapter(backends, model, adapters):
    info = await backends[""].describe()
    assert (info.engine, info.version, info.context_length) == ("vllm", model_version(model), MAX_LENGTH)
    assert info.features == {ANY_FIELD}
    assert info.stats.slots == SLOTS
    for name in ADAPTERS:
        adapter = version_of(directory_digest(adapters[name]))
        assert (await backends[name].describe()).version == f"{info.version}+{adapter}"
    assert [backend.capacity() for backend in backends.values()] == [CAPACITY, 0, 0]


@pytest.mark.parametrize("operation", ["chat", "text_completion"])
async def test_a_stream_is_one_complete_answer_with_its_usage(backend, asked, operation):
    items = await generated(backend, asked(operation=operation))
    json.dumps(items)
    so_far = answer_of(items)
    (choice,) = so_far.recorded()
    assert choice.finish_reason == "length"
    assert choice.text
    assert (so_far.finished, so_far.invalid_counts) == (True, False)
    assert so_far.usage.completion_tokens == 6
    assert so_far.usage.prompt_tokens > 0
    assert all("usage" not in item and RUNNING_USAGE in item for item in items[:-1])
    assert items[-1]["choices"] == []


async def test_a_whole_answer_is_the_streamed_answer(backend, asked):
    streamed = answer_of(await generated(backend, asked()))
    whole = answer_of(await generated(backend, asked(stream=False)))
    assert [choice.text for choice in whole.recorded()] == [choice.text for choice in streamed.recorded()]
    assert whole.usage == streamed.usage


async def test_the_usage_has_the_tokens_of_all_choices(backend, asked):
    items = await generated(backend, asked(n=3, temperature=1, seed=1))
    assert len(answer_of(items).recorded()) == 3
    *_, last, usage = items
    assert last[RUNNING_USAGE]["completion_tokens"] == usage["usage"]["completion_tokens"] == 18


async def test_the_same_seed_gives_the_same_answer(backend, asked):
    first, second, other = [
        texts(await generated(backend, asked(temperature=1, seed=seed, max_tokens=16))) for seed in (1, 1, 2)
    ]
    assert first == second != other


async def test_a_stop_string_ends_the_answer_and_is_not_in_it(backend, asked):
    (whole,) = texts(await generated(backend, asked(max_tokens=24)))
    stop = whole.split()[3]
    so_far = answer_of(await generated(backend, asked(max_tokens=24, stop=[stop])))
    (choice,) = so_far.recorded()
    assert (choice.finish_reason, choice.text) == ("stop", whole[: whole.index(stop)])


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"max_tokens": 5_000}, "context_length_exceeded", "max_tokens"),
        ({"messages": [{"role": "user", "content": "secret " * 2_000}]}, "context_length_exceeded", "input_tokens"),
        ({"temperature": 9}, "invalid_value", "temperature"),
        ({"messages": "secret"}, "invalid_value", "messages"),
        ({"n": 99}, "invalid_value", None),
        ({"top_logprobs": 99, "logprobs": True}, "invalid_value", "logprobs"),
        ({"model": "another"}, "model_not_found", "model"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "secret"}}}},
            "invalid_value",
            None,
        ),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_vllm_rejects_is_a_client_error(backend, asked, *, stream, fields, code, param):
    (rejected,) = await generated(backend, asked(**fields, stream=stream))
    assert isinstance(rejected, RejectedRequest)
    assert (rejected.code, rejected.param) == (code, param)
    assert rejected.status == (404 if code == "model_not_found" else 400)
    assert "secret" not in rejected.message
    assert rejected.body["error"]["message"]


async def test_more_requests_than_slots_wait(backend, asked):
    answers = await asyncio.gather(*(generated(backend, asked()) for _ in range(3 * SLOTS)))
    assert len({tuple(texts(items)) for items in answers}) <= 2, "in bfloat16, a batch may round differently"
    assert all(answer_of(items).finished for items in answers)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_a_closed_or_cancelled_answer_frees_the_slot(serving, backend, asked, how):
    """If a slot were not freed, these answers would have 7,200 tokens."""
    before = serving.metric("vllm:generation_tokens_total")
    for _ in range(2 * SLOTS):
        if how == "close":
            async with aclosing(backend.generate(asked(max_tokens=900))) as items:
                await anext(items)
        else:
            task = asyncio.create_task(generated(backend, asked(max_tokens=900)))
            await asyncio.sleep(0.3)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    await until_free(backend)
    assert answer_of(await generated(backend, asked())).finished
    assert serving.metric("vllm:generation_tokens_total") - before < 900
    assert serving.metric("vllm:num_requests_running") == 0


async def test_a_long_prompt_does_not_stall_an_answer_in_progress(backend, asked):
    """The prompt is read in steps of 256 tokens, and each step generates a token of the other answer as well."""
    counts, started = [], asyncio.Event()

    async def short():
        async with aclosing(backend.generate(asked(max_tokens=400))) as items:
            async for item in items:
                counts.append(item[RUNNING_USAGE]["completion_tokens"])
                started.set()

    task = asyncio.create_task(short())
    await started.wait()
    before = counts[-1]
    async with aclosing(backend.generate(asked("sea " * 960, "text_completion", max_tokens=3))) as items:
        await anext(items)
    assert counts[-1] - before >= 2, "expected a token in at least two of the four steps; the last chunk can be late"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until_free(backend)


async def test_adapters_in_one_batch_give_different_answers(backends, asked, model):
    # The first sentence may be the same for all of them.
    requests = [asked(model=name, max_tokens=96) for name in (MODEL, *ADAPTERS)]
    together = await asyncio.gather(*(generated(backends[""], request) for request in requests))
    assert len({tuple(texts(items)) for items in together}) == 3


async def test_an_adapter_does_not_change_the_answers_of_its_base_model_in_the_same_batch(backends, asked):
    async def likelihood(model):
        """Return the log-probability of the first word, which is the same for all three models."""
        items = await generated(backends[""], asked(model=model, max_tokens=1, logprobs=True))
        choices = [choice for item in items for choice in item["choices"]]
        (token,) = (token for choice in choices for token in (choice.get("logprobs") or {}).get("content", ()))
        return token["logprob"]

    alone = await likelihood(MODEL)
    assert await likelihood(ADAPTERS[-1]) < alone - 0.3
    for name in ADAPTERS:
        async with aclosing(backends[""].generate(asked(model=name, max_tokens=900))) as items:
            await anext(items)
            assert await likelihood(MODEL) == pytest.approx(alone, abs=0.1)


async def test_the_running_usage_is_shown_to_a_client_that_requests_it(backend, asked):
    options = {"include_usage": True, "continuous_usage_stats": True}
    items = await generated(backend, asked(stream_options=options))
    assert [item["usage"]["completion_tokens"] for item in items][-1] == 6
    assert all("usage" in item for item in items)
