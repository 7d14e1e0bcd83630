"""Converts a GGUF file to a Hugging Face directory, once.

transformers reads a GGUF in twenty seconds and cannot save it. So the weights are copied into a safetensors file in float32, which keeps
the dequantised values exactly, beside tokenizer, configuration and chat template.
"""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.engine.model_files import Progress

__all__ = ["materialise"]

_MODEL_KEYS_OF_THE_FILE = ("quantization_config", "_name_or_path", "_model_name_or_path")
_SHARES = {
    "loading libraries": 0.0,
    "reading weights": 0.3,
    "reading tokenizer": 0.75,
    "writing weights": 0.8,
    "done": 1.0,
}


def materialise(source_gguf: Path, target: Path, progress: Progress) -> None:
    """Write the model in `source_gguf`, whose digest the caller has checked, into the empty directory `target`.

    Requires `transformers`, `gguf` and `accelerate`; takes about 30 s and 1.5 GB of memory for 135 million parameters.
    """

    def at(stage: str) -> None:
        progress(stage, _SHARES[stage])

    at("loading libraries")
    with _quiet():
        _convert(source_gguf, target, at)
    for path in target.iterdir():
        path.chmod(0o644)
    at("done")


def _convert(source: Path, target: Path, at: Any) -> None:
    import torch  # noqa: PLC0415 - seconds to import, and only this function needs them
    from safetensors.torch import save_file  # noqa: PLC0415 - as above
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - as above

    at("reading weights")
    model = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    at("reading tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    tokenizer.save_pretrained(target)
    at("writing weights")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
    config = {key: value for key, value in model.config.to_dict().items() if key not in _MODEL_KEYS_OF_THE_FILE}
    config["architectures"] = [type(model).__name__]
    _write_json(target / "config.json", config)
    # The end of a turn is the configuration's token; the tokenizer in the file has another one.
    ends = {key: config.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(target / "generation_config.json", {key: value for key, value in ends.items() if value is not None})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide transformers' progress bars and notices: the caller shows progress."""
    from transformers.utils import logging as hf  # noqa: PLC0415 - as in its caller

    level = hf.get_verbosity()
    hf.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        hf.set_verbosity(level)
