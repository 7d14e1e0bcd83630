import asyncio
import itertools
import subprocess
import sys
import time

import pytest
import torch
from bench.exactness import PROMPTS, answers, encode, load_reference, shortfalls
from transformers import AutoModelForCausalLM, AutoTokenizer

from serving.backend import ModelRequest
from serving.engine.errors import EngineUnavailableError, GenerationFailedError, PromptRejectedError
from serving.engine.factory import create_engine
from serving.engine.protocol import Sampling
from serving.openai_api.accumulator import Accumulator
from serving.replica.model_server import ModelServer
from serving.settings import ModelSettings

# Prose, a number, French, Russian, Japanese, symbols, a function, a paragraph.
_CHOSEN = (0, 26, 37, 46, 49, 59, 62, 85)
_TOKENS = 12
CANARY = "canary-7f3a"


def _build(model, **changes):
    return create_engine(ModelSettings(**{"device": "cpu", "slots": 2, "threads": 1, **changes}), model)


async def _collect(engine, prompt, **changes):
    sampling = Sampling(**{"max_tokens": _TOKENS, "temperature": 0.0, **changes})
    chunks = [chunk async for chunk in engine.generate(encode(engine, prompt), sampling)]
    return "".join(chunk.text for chunk in chunks), chunks[-1]


async def _until(engine, condition):
    deadline = time.monotonic() + 60
    while not condition(engine.stats()):
        assert time.monotonic() < deadline, engine.stats()
        await asyncio.sleep(0.002)


@pytest.fixture(scope="module")
def smollm(smollm_files):
    engine = _build(smollm_files.path, dtype="float32", slots=4, threads=0, max_length=1024)
    engine.load()
    yield engine
    asyncio.run(engine.close())


@pytest.fixture
def tiny(tiny_gguf):
    engine = _build(tiny_gguf, dtype="float32")
    engine.load()
    yield engine
    asyncio.run(engine.close())


def test_in_float32_the_default_model_answers_as_in_transformers_alone_and_in_a_batch(smollm, smollm_files):
    prompts = [PROMPTS[index] for index in _CHOSEN]
    model = load_reference(smollm_files.path)
    alone, together = asyncio.run(answers(smollm, prompts, _TOKENS))
    assert alone == together
    assert [shortfalls(model, encode(smollm, text), tokens) for text, tokens in zip(prompts, alone, strict=True)] == [
        {} for _ in prompts
    ]


def test_in_the_fast_mode_the_default_model_loads_with_one_thread(smollm_files):
    build = f"create_engine(ModelSettings(slots=1, threads=1), Path({str(smollm_files.path)!r}))"
    imports = "from pathlib import Path; from serving.engine.factory import create_engine; from serving.settings import ModelSettings"
    script = f"{imports}; {build}.load()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


def test_texts_and_conversations_have_the_tokens_of_transformers(smollm, smollm_files):
    tokenizer = AutoTokenizer.from_pretrained(smollm_files.path, gguf_file="model.gguf")
    for text in ("", "  leading and trailing  ", *PROMPTS):
        assert smollm.encode(text) == tokenizer(text)["input_ids"]
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
        for messages in ([{"role": "system", "content": "Be brief."}, *turns], [*turns, turns[0]], turns[:1]):
            wanted = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            assert smollm.encode_chat(messages) == wanted


async def test_the_end_token_counts_and_ends_the_answer(smollm):
    text, last = await _collect(smollm, "Say only the word yes.", max_tokens=60)
    assert last.finish_reason == "stop"
    assert last.completion_tokens == len(smollm.encode(text)) + 1


async def test_the_log_probabilities_of_a_prompt_are_those_of_transformers(tiny, tiny_gguf):
    prompt = encode(tiny, "hello weir " * 12)  # more than one step
    sampling = Sampling(max_tokens=0, temperature=0.7, logprobs=0, prompt_logprobs=True)
    chunks = [chunk async for chunk in tiny.generate(prompt, sampling)]
    found = [one for chunk in chunks for one in chunk.prompt_logprobs]
    assert (chunks[-1].finish_reason, chunks[-1].completion_tokens) == ("length", 0)
    model = AutoModelForCausalLM.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name, dtype=torch.float32)
    with torch.inference_mode():
        expected = model(torch.tensor([prompt])).logits[0].log_softmax(-1)
    wanted = [float(expected[at, token]) for at, token in enumerate(prompt[1:])]
    assert found[0].logprob is None
    assert [one.logprob for one in found[1:]] == pytest.approx(wanted, abs=1e-3)


async def test_each_token_of_a_completion_begins_at_its_offset(smollm):
    body = {"prompt": "🥖 où? 首都 The capital", "echo": True, "logprobs": 1, "temperature": 0.0, "max_tokens": 8}
    request = ModelRequest(request_id="r", operation="text_completion", body=body)
    answer = Accumulator()
    async for item in ModelServer(smollm, max_requests=1).generate(request):
        answer.add(item)
    (choice,) = answer.text_choices()
    found = list(zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"], strict=True))
    assert all(choice["text"][at:].startswith(token) for token, at in found)
    assert (" The", body["prompt"].index(" The")) in found
    assert found[-8][1] == len(body["prompt"])


async def test_a_stop_string_inside_a_token_ends_the_text_before_it(smollm):
    whole, _ = await _collect(smollm, PROMPTS[0])
    token = next(word for word in whole.split() if len(word) > 3)
    text, last = await _collect(smollm, PROMPTS[0], stop=(token[2:4],))
    assert text == whole[: whole.index(token[2:4])]
    assert last.finish_reason == "stop"


async def test_a_step_that_fails_ends_only_its_requests_and_logs_no_text(tiny, caplog):
    before, _ = await _collect(tiny, "hello")

    class Failing:
        """A pipeline whose step fails, so that the engine replaces the pipeline."""

        def __init__(self, pipeline):
            self._pipeline = pipeline

        def step(self):
            raise RuntimeError(f"cannot find a field in {CANARY}")

        def __getattr__(self, name):
            return getattr(self._pipeline, name)

    tiny._pipeline = Failing(tiny._pipeline)
    with pytest.raises(GenerationFailedError, match="send the request again"):
        await _collect(tiny, "hello")
    assert (await _collect(tiny, "hello"))[0] == before
    assert "a step with 1 request failed: RuntimeError" in caplog.text
    assert CANARY not in caplog.text


async def test_a_step_that_fails_ends_no_request_that_waits_for_a_slot(tiny):
    before, _ = await _collect(tiny, "hello")
    pipeline, steps = tiny._pipeline, itertools.count()

    class FailingLater:
        """A pipeline whose second step fails; the first step waits for three requests."""

        def step(self):
            if next(steps):
                raise RuntimeError("out of memory")
            while len(tiny._requests) + tiny._arrivals.qsize() < 3:
                time.sleep(0.001)
            pipeline.step()

        def __getattr__(self, name):
            return getattr(pipeline, name)

    tiny._pipeline = FailingLater()
    found = await asyncio.gather(*(_collect(tiny, "hello") for _ in range(3)), return_exceptions=True)
    assert [isinstance(one, GenerationFailedError) for one in found] == [True, True, False]
    assert found[2][0] == before


async def test_a_slow_consumer_gets_all_waiting_text_in_one_chunk(tiny):
    whole, last = await _collect(tiny, "hello")
    stream = tiny.generate(encode(tiny, "hello"), Sampling(max_tokens=_TOKENS, temperature=0.0))
    first = await anext(stream)
    await _until(tiny, lambda stats: not stats.running)
    await asyncio.sleep(0)
    rest = [chunk async for chunk in stream]
    assert first.text + "".join(chunk.text for chunk in rest) == whole
    assert len(rest) <= 2
    assert rest[-1].completion_tokens == last.completion_tokens


async def test_a_consumer_whose_event_loop_is_closed_frees_its_slot(tiny):
    held = []

    def elsewhere():
        loop = asyncio.new_event_loop()
        held.append(tiny.generate(encode(tiny, "hello"), Sampling(max_tokens=450, temperature=0.0)))
        loop.run_until_complete(anext(held[0]))
        loop.close()

    await asyncio.to_thread(elsewhere)
    await _until(tiny, lambda stats: not stats.running)
    assert tiny.stats().completion_tokens_total < 450
    await held[0].aclose()


async def test_without_a_seed_answers_differ(tiny):
    assert len({(await _collect(tiny, "hello", temperature=1.5))[0] for _ in range(4)}) > 1


async def test_messages_that_the_template_rejects_are_rejected_without_their_text(tiny):
    tiny._tokenizer.set_chat_template("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(PromptRejectedError, match=r"check their roles, their order and their tool calls$"):
        encode(tiny, "secret")


def test_a_model_without_an_end_token_does_not_support_schemas(tiny, tiny_gguf, tmp_path):
    """Without an end token, xgrammar ends the process at the end of the first answer with a schema."""
    file = tmp_path / "endless.gguf"
    file.write_bytes(tiny_gguf.read_bytes().replace(b"ggml.eos_token_id", b"ggml.xxx_token_id", 1))
    endless = _build(file)
    endless.load()
    try:
        assert "json_schema" in tiny.features
        assert endless.features == tiny.features - {"json_schema"}
    finally:
        asyncio.run(endless.close())


def test_the_context_is_that_of_the_model_or_max_length(tiny_gguf):
    assert _build(tiny_gguf).context_length == 512
    assert _build(tiny_gguf, max_length=100).context_length == 100
    assert _build(tiny_gguf, max_length=10**6).context_length == 512


def test_openvino_on_a_gpu_is_rejected(tiny_gguf):
    with pytest.raises(EngineUnavailableError, match="runs on a CPU"):
        _build(tiny_gguf, engine="openvino", device="cuda")


def test_a_file_without_a_key_that_openvino_needs_is_an_error_with_its_reason(tiny_gguf, tmp_path):
    file = tmp_path / "broken.gguf"
    file.write_bytes(tiny_gguf.read_bytes().replace(b"llama.block_count", b"llama.block_xount", 1))
    with pytest.raises(EngineUnavailableError, match=r"cannot load .*broken\.gguf \(.*map::at\): choose the engine"):
        _build(file).load()


def test_a_gpu_that_is_missing_is_rejected(tiny_dir):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(EngineUnavailableError, match="torch finds no GPU"):
        _build(tiny_dir, device="cuda")


def test_auto_chooses_by_the_model(tiny_gguf, tiny_dir):
    assert _build(tiny_gguf).name == "openvino"
    assert _build(tiny_dir).name == "transformers"
    with pytest.raises(EngineUnavailableError, match=r"neither one \.gguf file nor openvino_model\.xml"):
        _build(tiny_dir, engine="openvino")
