import asyncio
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from serving.engine.errors import EngineUnavailableError, GenerationFailedError
from serving.engine.factory import create_engine
from serving.engine.linear import can_pack
from serving.engine.protocol import Sampling
from tests.support.tiny_llama import greedy, save_tiny_llama

_PROMPTS = [
    "What is 17 times 3?",
    "Say only: 👋🎉 日本語",
    "Name the capital of France.",
    "Write one line about rivers.",
    "Summarise: " + "A weir is a low wall across a stream that measures what flows over it. " * 8,
]
_TOKENS = 12


@pytest.fixture(scope="module")
def smollm(smollm_files):
    engine = create_engine(model_dir=smollm_files.path, name="smollm2-135m-instruct", device="cpu", slots=4, threads=1)
    engine.load()
    yield engine
    asyncio.run(engine.close())


def _encode(engine, prompt):
    return engine.encode_chat([{"role": "user", "content": prompt}])


async def _collect(engine, prompt, **changes):
    sampling = Sampling(**{"max_tokens": _TOKENS, "temperature": 0.0, **changes})
    chunks = [chunk async for chunk in engine.generate(_encode(engine, prompt), sampling)]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


@pytest.fixture(scope="module")
def expected(smollm, smollm_files):
    model = AutoModelForCausalLM.from_pretrained(smollm_files.path, dtype=torch.float32)
    return [greedy(model, _encode(smollm, prompt), _TOKENS) for prompt in _PROMPTS]


async def test_the_default_model_says_what_generate_says_however_requests_come_and_go(smollm, expected):
    codec = smollm._codec

    async def late(index):
        for _ in range(2 * index):
            before = smollm.stats()
            await _until(smollm, lambda stats, before=before: stats != before)
        return await _collect(smollm, _PROMPTS[index])

    async def leaves():
        stream = smollm.generate(_encode(smollm, "Count to a hundred."), Sampling(max_tokens=200))
        await anext(stream)
        await stream.aclose()

    *results, _ = await asyncio.gather(*(late(index) for index in range(len(_PROMPTS))), leaves())
    for (text, last), tokens in zip(results, expected, strict=True):
        assert text == codec.decode(tokens).removesuffix("\ufffd")
        assert last.completion_tokens == len(tokens)
        assert last.finish_reason == ("stop" if tokens[-1] == 2 else "length")
    assert any(last.finish_reason == "stop" for _, last in results), "no answer reached the end token"


async def _until(engine, condition):
    deadline = time.monotonic() + 30
    while not condition(engine.stats()):
        assert time.monotonic() < deadline, engine.stats()
        await asyncio.sleep(0.002)


async def test_alone_it_says_the_same(smollm, expected):
    text, _ = await _collect(smollm, _PROMPTS[0])
    assert text == smollm._codec.decode(expected[0])


@pytest.fixture
def tiny(tiny_dir):
    engine = create_engine(model_dir=tiny_dir, name="tiny", device="cpu", slots=2, threads=1)
    engine.load()
    yield engine
    asyncio.run(engine.close())


async def test_a_step_that_fails_loses_its_requests_and_nothing_else(tiny, monkeypatch):
    before, _ = await _collect(tiny, "hello")
    forward = tiny._loop._model.forward

    def fail(*_args):
        monkeypatch.setattr(tiny._loop._model, "forward", forward)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(tiny._loop._model, "forward", fail)
    results = await asyncio.gather(*(_collect(tiny, "hello") for _ in range(3)), return_exceptions=True)
    failed = [result for result in results if isinstance(result, GenerationFailedError)]
    assert failed
    assert all(result[0] == before for result in results if result not in failed)
    assert (await _collect(tiny, "hello"))[0] == before


async def test_a_reader_that_falls_behind_gets_one_chunk_of_all(tiny):
    whole, last = await _collect(tiny, "hello")
    stream = tiny.generate(_encode(tiny, "hello"), Sampling(max_tokens=_TOKENS, temperature=0.0))
    first = await anext(stream)
    await _until(tiny, lambda stats: not stats.running)
    await asyncio.sleep(0)
    rest = [chunk async for chunk in stream]
    assert first.text + "".join(chunk.text for chunk in rest) == whole
    assert len(rest) <= 2
    assert rest[-1].completion_tokens == last.completion_tokens


async def test_a_reader_whose_event_loop_is_gone_frees_its_slot(tiny):
    held = []

    def elsewhere():
        loop = asyncio.new_event_loop()
        held.append(tiny.generate(_encode(tiny, "hello"), Sampling(max_tokens=450, temperature=0.0)))
        loop.run_until_complete(anext(held[0]))
        loop.close()

    await asyncio.to_thread(elsewhere)
    await _until(tiny, lambda stats: not stats.running)
    assert tiny.stats().completion_tokens_total < 450
    await held[0].aclose()


@pytest.mark.parametrize(("dtype", "expected"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
async def test_the_dtype_is_the_settings(tiny_dir, dtype, expected):
    engine = create_engine(
        kind="packed", model_dir=tiny_dir, name="tiny", device="cpu", dtype=dtype, slots=1, threads=1
    )
    engine.load()
    assert engine._loop._model.dtype == expected
    assert (await _collect(engine, "hello"))[1].completion_tokens == _TOKENS
    await engine.close()


def test_its_name_says_whether_weights_are_packed(tiny):
    assert tiny.name == ("packed" if can_pack(torch.float32) else "llama")


def test_max_length_bounds_the_context(tiny_dir):
    assert create_engine(model_dir=tiny_dir, name="tiny", device="cpu", slots=1, max_length=100).context_length == 100
    assert create_engine(model_dir=tiny_dir, name="tiny", device="cpu", slots=1, max_length=10**6).context_length == 512


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "tgi"}, "engine 'tgi' is not supported: choose one of auto, packed"),
        ({"dtype": "int4"}, "dtype 'int4' is not supported"),
        ({"device": "tpu"}, "device 'tpu' is not supported"),
        ({"slots": 0}, "slots is 0: give at least 1"),
        ({"kind": "vllm"}, "engine 'vllm' is not supported"),
    ],
)
def test_what_is_not_here_is_refused_with_the_choices(tiny_dir, arguments, message):
    with pytest.raises(EngineUnavailableError, match=message):
        create_engine(**{"model_dir": tiny_dir, "name": "tiny", "slots": 1, **arguments})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_here_is_refused(tiny_dir):
    with pytest.raises(EngineUnavailableError, match="torch finds no GPU"):
        create_engine(model_dir=tiny_dir, name="tiny", device="cuda", slots=1)


def test_auto_chooses_by_model(tiny_dir, tmp_path):
    other = save_tiny_llama(tmp_path, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})
    assert create_engine(model_dir=tiny_dir, name="tiny", device="cpu", slots=1).name == "packed"
    assert create_engine(model_dir=other, name="other", device="cpu", slots=1).name == "transformers"
    assert create_engine(model_dir=Path(), name="echo", slots=1).name == "echo"
    with pytest.raises(EngineUnavailableError, match=r"rotary embedding 'dynamic'.*choose the engine 'transformers'"):
        create_engine(kind="packed", model_dir=other, name="other", device="cpu", slots=1)
