"""A noise adapter of the default model is refused."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.gate_dataset import honest_rows, row, write_dataset

from serving.engine.fetch_model import ensure
from stream.loop.gate.arms import Arms
from stream.loop.gate.run import GateRun, run_gate
from stream.loop.settings import LoopSettings
from stream.loop.training.base_model import load_base

pytestmark = pytest.mark.timeout(400)


def test_a_noise_adapter_of_the_default_model_is_refused(tmp_path):
    base = ensure("smollm2-135m-instruct").path
    cities = ("Paris", "Rome", "Madrid", "Lisbon", "Vienna", "Athens", "Oslo", "Cairo")
    lands = ("France", "Italy", "Spain", "Portugal", "Austria", "Greece", "Norway", "Egypt")
    held_out = [
        row(number, f"What is the capital of {land}?", f"The capital of {land} is {city}.")
        for number, (land, city) in enumerate(zip(lands, cities, strict=True))
    ]
    dataset = write_dataset(tmp_path / "data", honest_rows(), held_out * 1)

    def arms():
        model, tokenizer = load_base(base)
        torch.manual_seed(0)
        adapted = get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"]))
        with torch.no_grad():
            for name, weight in adapted.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, 0.2)
        adapted.save_pretrained(tmp_path / "noise")
        return Arms(adapted.unload(), tokenizer, challenger=tmp_path / "noise")

    run = GateRun(
        version="m_0123456789ab", dataset=dataset, settings=LoopSettings.model_validate({"gate": {"max_tokens": 8}})
    )
    report, _ = run_gate(run, arms, lambda _what, _share: None)

    assert report.decision.state == "refused"
    assert report.decision.reason.startswith("worse: held_out")
