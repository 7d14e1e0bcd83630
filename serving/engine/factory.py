"""Choose and build an engine."""

from pathlib import Path

from serving.engine.catalogue import ECHO_MODEL
from serving.engine.echo_engine import EchoEngine
from serving.engine.errors import EngineUnavailableError
from serving.engine.protocol import Engine

__all__ = ["KINDS", "create_engine"]

KINDS = ("auto", "packed", "transformers", "echo")
_DTYPES = ("auto", "float32", "bfloat16")
_DEVICES = ("auto", "cpu", "cuda")


def create_engine(  # noqa: PLR0913 - the settings of an engine, each by name
    *,
    kind: str = "auto",
    model_dir: Path,
    name: str,
    device: str = "auto",
    dtype: str = "auto",
    slots: int,
    max_length: int | None = None,
    threads: int | None = None,
) -> Engine:
    """Build an engine; nothing is loaded until `load()`.

    Parameters
    ----------
    kind
        `packed` (Weir's own loop for the Llama family), `transformers` (its continuous batching, any causal model), `echo`, or
        `auto`: echo for the model `echo`, packed on a CPU if it supports the model, else transformers.
    model_dir
        The model's directory, from `serving.engine.fetch_model.ensure`.
    device, dtype, slots, max_length, threads
        See :class:`serving.engine.resources.Resources`; `auto` is a GPU if this process has one, and its dtype bfloat16.

    Raises
    ------
    EngineUnavailableError
        The kind, device or dtype is not supported here.
    """
    for value, allowed, what in ((kind, KINDS, "engine"), (dtype, _DTYPES, "dtype"), (device, _DEVICES, "device")):
        if value not in allowed:
            raise EngineUnavailableError(f"{what} {value!r} is not supported: choose one of {', '.join(allowed)}")
    if slots < 1:
        raise EngineUnavailableError(f"slots is {slots}: give at least 1")
    if kind == "echo" or (kind == "auto" and name == ECHO_MODEL):
        return EchoEngine()
    # torch takes a second to import and transformers many: each engine imports what it needs.
    from serving.engine.resources import Resources, choose_device, choose_dtype  # noqa: PLC0415

    torch_device = choose_device(device)
    resources = Resources(
        device=torch_device,
        dtype=choose_dtype(dtype, torch_device),
        slots=slots,
        max_length=max_length,
        threads=threads,
    )
    if kind == "packed" or (kind == "auto" and _is_packable(torch_device.type, model_dir)):
        from serving.engine.packed_engine import PackedEngine  # noqa: PLC0415

        return PackedEngine(model_dir, resources)
    from serving.engine.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(model_dir, resources)


def _is_packable(device: str, model_dir: Path) -> bool:
    """Return whether Weir's own loop is the better choice: on CPUs, for the models that it supports."""
    from serving.engine.llama_config import read_config, unsupported  # noqa: PLC0415 - it imports torch too

    return device == "cpu" and unsupported(read_config(model_dir)) is None
