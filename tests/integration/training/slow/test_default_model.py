"""The default model: train two steps on eight examples, and serve the merged file with OpenVINO."""

import pytest
from openvino_genai import LLMPipeline
from support.tiny_training import ForkedRun, save_dataset, tiny_job

from serving.engine.fetch_model import ensure
from stream.loop.training.base_model import load_base
from stream.loop.training.job import VersionFolder, has_fast_bfloat16
from stream.loop.training.signing import verify_version

pytestmark = pytest.mark.timeout(400)


def test_the_default_model_is_trained_and_served(tmp_path):
    files = ensure("smollm2-135m-instruct")
    job = tiny_job(
        files.path,
        save_dataset(tmp_path / "data", 8),
        model="smollm2-135m-instruct",
        base_digest=files.digest,
        epochs=1,
        layers=4,
        learning_rate=2e-3,
        threads=2,
        bfloat16=has_fast_bfloat16(),
        checkpoint_seconds=1000.0,
    )
    trained = ForkedRun(tmp_path, "run", job).trained(300)
    assert trained.numbers["steps"] == 2
    manifest = verify_version(tmp_path, trained.version)
    merged = VersionFolder.of(tmp_path, trained.version).merged
    assert manifest.weights_digest
    _, tokenizer = load_base(files.path)
    assert (tokenizer.eos_token, bool(tokenizer.chat_template)) == ("<|im_end|>", True)

    pipeline = LLMPipeline(str(merged), "CPU")
    answer = pipeline.generate("What is the capital of France?", max_new_tokens=8, do_sample=False)
    assert "Paris" in str(answer)
