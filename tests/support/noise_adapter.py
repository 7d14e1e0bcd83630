"""A version whose LoRA adapter is noise: the model repeats itself."""

import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from stream.loop.training.base_model import load_base
from stream.loop.training.job import TrainingJob
from stream.loop.training.version import make_version


def noise_version(home: Path, job: TrainingJob, *, noise: float, seed: int = 3) -> str:
    """Make a signed version whose adapter has Gaussian noise with standard deviation `noise`, and return its name."""
    model, _ = load_base(Path(job.base))
    torch.manual_seed(seed)
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["v_proj"], task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, noise)
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder, save_embedding_layers=False)
        numbers = {"step": 1.0, "steps": 1.0, "loss": 0.0, "seconds": 0.0, "rows": 0.0}
        return make_version(job, home, Path(folder), numbers).version
