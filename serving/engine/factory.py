"""Choose and build an engine."""

from pathlib import Path

from serving.engine.echo_engine import EchoEngine
from serving.engine.errors import EngineUnavailableError
from serving.engine.gguf_file import is_readable
from serving.engine.protocol import Engine
from serving.settings import default_slots

# The devices of NVIDIA, of NVIDIA under WSL, and of AMD.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def create_engine(  # noqa: PLR0913 - the settings of an engine, each by name
    *,
    kind: str = "auto",
    model_dir: Path,
    device: str = "auto",
    dtype: str = "auto",
    slots: int = 0,
    max_length: int | None = None,
    threads: int | None = None,
) -> Engine:
    """Build an engine; nothing is loaded until `load()`.

    Parameters
    ----------
    kind
        `openvino` (reads GGUF files and OpenVINO IR, on a CPU), `transformers` (any causal language model), `echo`, or `auto`:
        openvino if the device is a CPU and OpenVINO can read the model; else transformers.
    model_dir
        The model's directory or GGUF file, from `serving.engine.fetch_model.ensure`.
    device
        `auto` is a GPU if this process has one, else the CPU.
    dtype
        transformers: `auto` is bfloat16 on a GPU, else float32. openvino: except for `float32`, OpenVINO chooses. With float32, an answer does not
        depend on the other requests in its batch; with bfloat16 it can.
    slots
        Maximum number of requests that are generated at the same time; further requests wait. 0: `default_slots` of the engine.
    max_length
        Maximum number of tokens of prompt and answer together; None: the model's own limit.
    threads
        Number of CPU threads of a generation step; None: the number of CPUs that this process may use.

    Raises
    ------
    EngineUnavailableError
        The device is not available to this engine or here.
    """
    if kind == "echo":
        return EchoEngine()
    if kind == "openvino" and device == "cuda":
        raise EngineUnavailableError("engine 'openvino' runs on a CPU: set device 'cpu', or engine 'transformers'")
    # torch takes a second to import and transformers many: each engine imports what it needs.
    if kind == "openvino" or (kind == "auto" and is_readable(model_dir) and _on_cpu(device)):
        from serving.engine.openvino_engine import OpenvinoEngine  # noqa: PLC0415

        exact = dtype == "float32"
        return OpenvinoEngine(
            model_dir, slots=slots or default_slots("openvino"), max_length=max_length, threads=threads, exact=exact
        )
    from serving.engine.transformers_engine import Resources, TransformersEngine  # noqa: PLC0415

    if device == "cuda" and not _torch_has_gpu():
        raise EngineUnavailableError("device 'cuda' is not available (torch finds no GPU): choose 'cpu' or 'auto'")
    on_gpu = device == "cuda" or (device == "auto" and _torch_has_gpu())
    resources = Resources(
        device="cuda" if on_gpu else "cpu",
        dtype=("bfloat16" if on_gpu else "float32") if dtype == "auto" else dtype,
        slots=slots or default_slots("transformers"),
        max_length=max_length,
        threads=threads,
    )
    return TransformersEngine(model_dir, resources)


def _on_cpu(device: str) -> bool:
    """Return whether `device` selects a CPU; for `auto`, torch is asked only if the machine has a GPU's device file."""
    if device == "auto":
        return not (any(Path(file).exists() for file in _GPU_FILES) and _torch_has_gpu())
    return device != "cuda"


def _torch_has_gpu() -> bool:
    import torch  # noqa: PLC0415 - as above

    return torch.cuda.is_available()
