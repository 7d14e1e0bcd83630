"""Choose and build an engine."""

import importlib.util
from pathlib import Path

from serving.engine.catalogue import ECHO_MODEL
from serving.engine.echo_engine import EchoEngine
from serving.engine.errors import EngineUnavailableError
from serving.engine.protocol import Engine

__all__ = ["KINDS", "create_engine"]

KINDS = ("auto", "packed", "transformers", "echo", "vllm")
_DTYPES = ("auto", "float32", "bfloat16")
_DEVICES = ("auto", "cpu", "cuda")


def create_engine(  # noqa: PLR0913 - the settings of an engine, each by name
    *,
    kind: str = "auto",
    model_dir: Path,
    name: str,
    device: str = "auto",
    dtype: str = "auto",
    slots: int = 8,
    max_length: int | None = None,
    threads: int | None = None,
) -> Engine:
    """Build an engine; nothing is loaded until `load()`.

    Parameters
    ----------
    kind
        `packed` (Llama family, our own loop), `transformers` (its continuous batching, any causal model), `echo`, or
        `auto`: echo for the model `echo`, packed on a CPU where the model allows it, else transformers.
    model_dir
        The model's directory, from `serving.engine.fetch_model.ensure`.
    name
        The model's name.
    device
        `cpu`, `cuda`, or `auto`: a GPU where this process sees one.
    dtype
        `float32`, `bfloat16`, or `auto`: float32 on a CPU, bfloat16 on a GPU.
    slots
        Most requests generated at once, at least 1.
    max_length
        Longest prompt and answer together, in tokens; the model's own limit if `None`.
    threads
        Processor threads; as many as this process may use if `None`.

    Raises
    ------
    EngineUnavailableError
        The kind, device or dtype does not exist here.
    """
    for value, allowed, what in ((kind, KINDS, "engine"), (dtype, _DTYPES, "dtype"), (device, _DEVICES, "device")):
        if value not in allowed:
            raise EngineUnavailableError(f"{what} {value!r} is unknown: choose one of {', '.join(allowed)}")
    if slots < 1:
        raise EngineUnavailableError(f"slots is {slots}: give at least 1")
    if kind == "echo" or (kind == "auto" and name == ECHO_MODEL):
        return EchoEngine()
    if kind == "vllm":
        raise _without_vllm()
    # torch takes a second to import and transformers many: each engine imports what it needs.
    from serving.engine.resources import Resources, choose_device, choose_dtype  # noqa: PLC0415

    where = choose_device(device)
    resources = Resources(
        device=where, dtype=choose_dtype(dtype, where), slots=slots, max_length=max_length, threads=threads
    )
    if kind == "packed" or (kind == "auto" and _own(where.type, model_dir)):
        from serving.engine.packed_engine import PackedEngine  # noqa: PLC0415

        return PackedEngine(model_dir, resources)
    from serving.engine.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(model_dir, resources)


def _own(device: str, model_dir: Path) -> bool:
    """Whether our own loop is the better choice: measured on CPUs, and for the models that it knows."""
    from serving.engine.llama_config import read_config, unsupported  # noqa: PLC0415 - it imports torch too

    return device == "cpu" and unsupported(read_config(model_dir)) is None


def _without_vllm() -> EngineUnavailableError:
    if importlib.util.find_spec("vllm") is None:
        return EngineUnavailableError(
            "engine 'vllm' needs the package vllm, which is not installed: `uv pip install vllm`"
        )
    return EngineUnavailableError(
        "engine 'vllm' has no adapter in this version of Weir: write one to serving.engine.protocol, or choose 'auto'"
    )
