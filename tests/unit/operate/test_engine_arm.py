"""Model files in the engine that serves them, for the gate and ``weir models compare``."""

import json
import os

import pytest
from bench import batch
from support.tiny_gguf import convert_to_gguf
from support.tiny_llama import save_tiny_llama

from stream.errors import GateError
from weir.operate.engine_arm import ServedFile


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "the model has no chat template"),
        ("{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}", "rejects these"),
    ],
)
def test_a_chat_template_that_does_not_accept_a_prompt_is_an_error_with_the_file(tmp_path, template, reason):
    folder = save_tiny_llama(tmp_path / "hf")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": template}))
    file = convert_to_gguf(folder, tmp_path / "tiny.gguf")
    served = ServedFile(file)
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}]
    with pytest.raises(GateError, match=f"{file} cannot be compared: .*{reason}.*safety_set"):
        served.answers([messages], 4)
    served.close()


def test_the_batch_benchmark_runs_on_the_file_of_a_model_directory(tmp_path, monkeypatch):
    model = tmp_path / "model"
    model.mkdir()
    convert_to_gguf(save_tiny_llama(tmp_path / "hf"), model / "tiny.gguf")
    monkeypatch.setattr(batch, "default_model", lambda: model)
    monkeypatch.setattr(batch, "_SERVED", served := [])
    batch.load(batch.default_file(), os.sched_getaffinity(0))
    tokens, _ = batch.generate(2, 4)
    assert 2 <= tokens <= 8
    served.pop().close()


def test_a_prompt_that_exceeds_the_context_with_its_answer_is_an_error_with_both_numbers(tmp_path):
    folder = save_tiny_llama(tmp_path / "hf", max_position_embeddings=64)
    served = ServedFile(convert_to_gguf(folder, tmp_path / "tiny.gguf"))
    messages = [{"role": "user", "content": "river " * 100}]
    with pytest.raises(GateError, match=r"a prompt and its answer have [0-9]{3,} tokens, and its context has 64"):
        served.answers([messages], 4)
    with pytest.raises(GateError, match="its context has 64"):
        served.loss([(messages, "Yes.")], 4)
    served.close()
