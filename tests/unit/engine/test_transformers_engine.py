import asyncio
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file

from serving.engine.errors import GenerationFailedError
from serving.engine.factory import create_engine
from serving.engine.protocol import Sampling
from serving.engine.transformers_codec import source_of
from serving.settings import ModelSettings
from stream.loop.training.base_model import load_base
from tests.support.tiny_llama import greedy


@pytest.fixture
def engine(tiny_dir):
    engine = create_engine(ModelSettings(engine="transformers", device="cpu", slots=2, threads=1), tiny_dir)
    engine.load()
    yield engine
    asyncio.run(engine.close())


async def _text(engine, **changes):
    sampling = Sampling(**{"max_tokens": 12, "temperature": 0.0, **changes})
    return "".join([chunk.text async for chunk in engine.generate(engine.encode("hello"), sampling)])


async def test_the_answer_equals_that_of_generate(engine, tiny_reference):
    tokens = greedy(tiny_reference, engine.encode("hello"), 12)
    assert await _text(engine) == engine._codec.decode(tokens).removesuffix("\ufffd")


async def test_after_a_step_that_fails_the_loop_of_steps_is_restarted(engine, monkeypatch):
    before = await _text(engine)

    def fail(*_args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._manager.batch_processor, "_generation_step", fail)
    with pytest.raises(GenerationFailedError, match="send the request again"):
        await _text(engine)
    deadline = time.monotonic() + 30
    while engine._manager.is_running():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert await _text(engine) == before


async def test_a_cancelled_request_leaves_no_state(engine):
    stream = engine.generate(engine.encode("hello"), Sampling(max_tokens=400))
    await anext(stream)
    await stream.aclose()
    assert not engine._manager.output_router.result_handlers
    assert not engine._sampler._draws
    assert not engine._inboxes


async def test_a_stop_string_frees_the_slot(engine):
    said = await _text(engine)
    assert await _text(engine, stop=(said[2:4],), max_tokens=400) == said[:2]
    requests = engine._manager.batch_processor.scheduler.active_requests
    await _text(engine, max_tokens=3)
    assert "weir-1" not in requests, "the stopped request is no longer active"


async def test_the_engine_reads_a_gguf_file_and_answers_as_openvino(tiny_gguf):
    texts = []
    for kind in ("transformers", "openvino"):
        settings = ModelSettings(engine=kind, device="cpu", dtype="float32", slots=1, threads=1)
        engine = create_engine(settings, tiny_gguf)
        engine.load()
        prompt = engine.encode_chat([{"role": "user", "content": "naïve 👋 17"}])
        sampling = Sampling(max_tokens=40, temperature=0.0)
        texts.append((prompt, "".join([chunk.text async for chunk in engine.generate(prompt, sampling)])))
        await engine.close()
    (prompt, text), (same_prompt, other) = texts
    assert prompt == same_prompt
    assert text.replace("\ufffd", "") == other, "OpenVINO drops bytes that are not valid UTF-8"


def test_the_safetensors_of_a_directory_are_loaded_even_if_it_has_a_gguf_file(tiny_dir, tiny_gguf, tmp_path):
    shutil.copytree(tiny_dir, tmp_path, dirs_exist_ok=True)
    shutil.copy(tiny_gguf, tmp_path)
    engine = create_engine(ModelSettings(device="cpu", slots=1), tmp_path)
    assert engine.name == "transformers"
    assert source_of(tmp_path) == {"pretrained_model_name_or_path": tmp_path}


def pickled(tiny_dir, folder):
    """Return a copy of the model whose weights are in a pickle, beside a file of other safetensors."""
    shutil.copytree(tiny_dir, folder)
    (folder / "model.safetensors").rename(folder / "adapter.safetensors")
    torch.save(load_file(folder / "adapter.safetensors"), folder / "pytorch_model.bin")
    return folder


def load_engine(folder):
    engine = create_engine(ModelSettings(device="cpu", slots=1), folder)
    try:
        engine.load()
    finally:
        asyncio.run(engine.close())


@pytest.mark.parametrize("load", [load_engine, load_base])
def test_no_pickle_is_loaded(load, tiny_dir, tmp_path):
    with pytest.raises(OSError, match=r"model\.safetensors"):
        load(pickled(tiny_dir, tmp_path / "model"))
