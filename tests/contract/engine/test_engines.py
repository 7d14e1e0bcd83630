"""The contract of every engine."""

import asyncio
import time
from pathlib import Path
from typing import get_args

import pytest

from serving.engine.errors import EngineClosedError
from serving.engine.factory import create_engine
from serving.engine.model_files import model_version
from serving.engine.protocol import Engine, Sampling
from serving.settings import ENGINES_WITHOUT_FILES, EngineName, ModelSettings
from tests.support.tiny_gguf import save_tiny_gguf

#: Without `auto`, which chooses one of them, and the two that have no engine in a replica of Weir.
_KINDS = tuple(sorted({*get_args(EngineName)} - {"auto", "upstream", "vllm"}))
_SLOTS = 3
_WORDS = "the weir measures what flows over it, again and again: naïve 👋 and 日本語 too"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    # A wide initialisation makes such a small model less repetitive. Without an end token, it generates all requested tokens.
    directory = tmp_path_factory.mktemp("tiny")
    file = save_tiny_gguf(directory, eos_token_id=None)
    return {"openvino": file, "transformers": directory / "hf"}


def _build(kind, models) -> Engine:
    settings = ModelSettings(engine=kind, device="cpu", dtype="float32", slots=_SLOTS, threads=1)
    return create_engine(settings, models.get(kind, Path()))


@pytest.fixture(scope="module", params=_KINDS)
def engine(request, models):
    engine = _build(request.param, models)
    assert engine.name == request.param
    engine.load()
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(params=_KINDS)
def own_engine(request, models):
    engine = _build(request.param, models)
    assert engine.name == request.param
    engine.load()
    yield engine
    asyncio.run(engine.close())


def _has_model(engine):
    return engine.name not in ENGINES_WITHOUT_FILES


def _sampling(**changes):
    return Sampling(**{"max_tokens": 10, "temperature": 0.0, **changes})


async def _chunks(engine, prompt=_WORDS, **changes):
    return [chunk async for chunk in engine.generate(engine.encode(prompt), _sampling(**changes))]


async def _text(engine, prompt=_WORDS, **changes):
    return "".join(chunk.text for chunk in await _chunks(engine, prompt, **changes))


async def _until(engine, condition):
    deadline = time.monotonic() + 30
    while not condition(engine.stats()):
        assert time.monotonic() < deadline, engine.stats()
        await asyncio.sleep(0.001)


async def _until_free(engine):
    await _until(engine, lambda stats: not stats.running and not stats.waiting)


def test_it_implements_the_protocol(engine, models):
    assert isinstance(engine, Engine)
    assert engine.model_version == (model_version(models[engine.name]) if _has_model(engine) else engine.name)
    assert engine.context_length > 0
    assert engine.stats().slots == (_SLOTS if _has_model(engine) else 0)
    engine.load()


def test_a_conversation_is_longer_than_its_last_message(engine):
    one = engine.encode_chat([{"role": "user", "content": "hello there"}])
    two = engine.encode_chat([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}])
    assert all(isinstance(token, int) for token in two)
    assert len(two) > len(one) >= len(engine.encode("hello there"))


async def test_only_the_last_chunk_has_the_finish_reason_and_all_have_token_counts(engine):
    prompt = engine.encode(_WORDS)
    chunks = await _chunks(engine)
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].finish_reason == "length"
    assert {chunk.prompt_tokens for chunk in chunks} == {len(prompt)}
    counts = [chunk.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == 10


@pytest.mark.parametrize("max_tokens", [1, 2, 7])
async def test_max_tokens_limits_the_answer(engine, max_tokens):
    last = (await _chunks(engine, max_tokens=max_tokens))[-1]
    assert (last.finish_reason, last.completion_tokens) == ("length", max_tokens)


async def test_the_text_is_whole_characters(engine):
    for chunk in await _chunks(engine, max_tokens=60 if _has_model(engine) else 10):
        chunk.text.encode("utf-8")
    if engine.name == "echo":
        assert await _text(engine, max_tokens=100) == _WORDS


async def test_a_stop_string_ends_the_text_before_it(engine):
    whole = await _text(engine)
    at = len(whole) // 2
    stop = whole[at : at + 2]
    chunks = await _chunks(engine, stop=("\0never\0", stop))
    text = "".join(chunk.text for chunk in chunks)
    assert text == whole[: whole.index(stop)]
    assert chunks[-1].finish_reason == "stop"
    assert 0 < chunks[-1].completion_tokens <= 10


async def test_a_stop_string_that_does_not_occur_removes_no_text(engine):
    assert await _text(engine, stop=(await _text(engine) + "x",)) == await _text(engine)


async def test_a_seed_gives_the_same_answer_alone_and_in_a_batch(engine):
    alone = await _text(engine, temperature=1.0, seed=11)
    batch = await asyncio.gather(*(_text(engine, temperature=1.0, seed=seed) for seed in (11, 12, 11, 13, 14)))
    assert batch[0] == batch[2] == alone
    assert not _has_model(engine) or len(set(batch)) == 4


async def test_the_smallest_top_p_leaves_the_most_likely_token(engine):
    assert await _text(engine, temperature=1.0, top_p=1e-300) == await _text(engine, temperature=0.0)


async def test_a_penalty_changes_the_answer(engine):
    if not _has_model(engine):
        pytest.skip("an engine without a model does not sample")
    assert await _text(engine, max_tokens=40) != await _text(engine, max_tokens=40, presence_penalty=2.0)


async def test_more_requests_than_slots_have_the_same_answers_as_alone(engine):
    prompts = [f"{number} {_WORDS[: 5 * number]}" for number in range(1, 10)]
    alone = [await _text(engine, prompt) for prompt in prompts]
    assert await asyncio.gather(*(_text(engine, prompt) for prompt in prompts)) == alone


async def test_it_generates_no_more_answers_at_the_same_time_than_it_has_slots(engine):
    if not _has_model(engine):
        pytest.skip("an engine without a model has no slots")
    in_progress, most = set(), []

    async def read(number):
        async for chunk in engine.generate(engine.encode(_WORDS), _sampling(max_tokens=60)):
            in_progress.add(number)
            most.append(len(in_progress))
            if chunk.finish_reason is not None:
                in_progress.remove(number)

    await asyncio.gather(*map(read, range(3 * _SLOTS)))
    assert 1 < max(most) <= _SLOTS


async def test_a_long_prompt_does_not_stall_another_answer(engine):
    if not _has_model(engine):
        pytest.skip("an engine without a model does not process the prompt")
    said, started = [], asyncio.Event()

    async def short():
        async for chunk in engine.generate(engine.encode("weir"), _sampling(max_tokens=450)):
            said.append(chunk.completion_tokens)
            started.set()

    task = asyncio.create_task(short())
    await started.wait()
    before = said[-1]
    stream = engine.generate((engine.encode("weir ") * 400)[:400], _sampling(max_tokens=3))
    await anext(stream)
    assert said[-1] - before >= 3, "expected tokens in three of the seven steps"
    await stream.aclose()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _until_free(engine)


async def test_closing_the_iterator_frees_the_slot(engine):
    for _ in range(_SLOTS + 1):
        stream = engine.generate(engine.encode(_WORDS), _sampling(max_tokens=200))
        await anext(stream)
        await stream.aclose()
    await _until_free(engine)


async def test_cancelling_the_reader_frees_the_slot_and_the_queue(engine):
    before = engine.stats().prompt_tokens_total
    tasks = [asyncio.create_task(_text(engine, max_tokens=200)) for _ in range(2 * _SLOTS)]
    await _until(engine, lambda stats: stats.prompt_tokens_total > before)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not _has_model(engine) or any(isinstance(result, asyncio.CancelledError) for result in results)
    await _until_free(engine)
    assert await _text(engine)


async def test_a_prompt_that_exactly_fits_the_context_is_answered(engine):
    if not _has_model(engine):
        pytest.skip("an engine without a model has no memory for its context")
    prompt = (engine.encode("weir ") * engine.context_length)[: engine.context_length - 3]
    chunks = [chunk async for chunk in engine.generate(prompt, _sampling(max_tokens=3))]
    assert (chunks[-1].prompt_tokens, chunks[-1].completion_tokens) == (len(prompt), 3)


async def test_the_totals_increase_by_the_tokens_of_a_request(engine):
    await _until_free(engine)
    before = engine.stats()
    last = (await _chunks(engine))[-1]
    await _until_free(engine)
    after = engine.stats()
    assert after.prompt_tokens_total - before.prompt_tokens_total == last.prompt_tokens
    assert after.completion_tokens_total - before.completion_tokens_total == last.completion_tokens


async def test_closing_ends_running_requests_and_rejects_new_ones(own_engine):
    prompt = own_engine.encode(_WORDS)
    running = own_engine.generate(prompt, _sampling(max_tokens=400))
    await anext(running)
    await own_engine.close()
    with pytest.raises(EngineClosedError, match="closed"):
        async for _ in running:
            pass
    with pytest.raises(EngineClosedError, match="closed"):
        await anext(own_engine.generate(prompt, _sampling()))


@pytest.mark.parametrize("kind", [kind for kind in _KINDS if kind not in ENGINES_WITHOUT_FILES])
async def test_a_request_before_loading_is_an_error_that_names_the_fix(kind, models):
    engine = _build(kind, models)
    with pytest.raises(EngineClosedError, match=r"call load\(\) first"):
        await anext(engine.generate([1], _sampling()))
    await engine.close()
