"""Choose and build an engine."""

from pathlib import Path

from serving.engine.echo_engine import EchoEngine
from serving.engine.errors import EngineUnavailableError
from serving.engine.gguf_file import is_readable
from serving.engine.protocol import Engine
from serving.settings import ModelSettings

# The devices of NVIDIA, of NVIDIA under WSL, and of AMD.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def create_engine(settings: ModelSettings, model_dir: Path) -> Engine:
    """Build the engine of a model with `settings`; nothing is loaded until `load()`.

    `model_dir` is the model's directory or GGUF file, from `serving.engine.fetch_model.ensure`. The engine `auto` is openvino if the device is a CPU
    and OpenVINO can read the model; else transformers.

    Raises
    ------
    EngineUnavailableError
        The device is not available to this engine or here.
    """
    kind, device = settings.engine, settings.device
    if kind == "echo":
        return EchoEngine(settings.max_length)
    if kind == "openvino" and device == "cuda":
        raise EngineUnavailableError("engine 'openvino' runs on a CPU: set device 'cpu', or engine 'transformers'")
    # torch takes a second to import and transformers many: each engine imports what it needs.
    if kind == "openvino" or (kind == "auto" and is_readable(model_dir) and _on_cpu(device)):
        from serving.engine.openvino_engine import OpenvinoEngine  # noqa: PLC0415

        return OpenvinoEngine(settings, model_dir)
    from serving.engine.transformers_engine import TransformersEngine  # noqa: PLC0415

    return TransformersEngine(settings, model_dir)


def _on_cpu(device: str) -> bool:
    """Return whether `device` selects a CPU; for `auto`, torch is asked only if the machine has a GPU's device file."""
    if device != "auto" or not any(Path(file).exists() for file in _GPU_FILES):
        return device != "cuda"
    import torch  # noqa: PLC0415 - as above

    return not torch.cuda.is_available()
