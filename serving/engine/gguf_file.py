"""The models that OpenVINO reads, their context length, and the F16 copy of a quantised GGUF file.

With 4-bit weights, OpenVINO's answers differ from the answers of transformers; with the same weights converted to F16, they are equal.
"""

import contextlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from serving.engine.errors import ModelInvalidError
from serving.engine.model_files import IR_MODEL, Progress

_MAGIC = b"GGUF"
_CONTEXT_KEY = b".context_length"
#: The type and the value of a key.
_VALUE = struct.Struct("<II")
_UINT32 = 4
#: The keys of the architecture come before the vocabulary, which is megabytes long.
_HEADER_BYTES = 1 << 16


def check_whole(file: Path) -> None:
    """Raise ModelInvalidError if a GGUF file is damaged or ends before its last weight; OpenVINO reads past the end, which can end the process."""
    from stream.gguf_files import GGUFReader  # noqa: PLC0415 - it reads the whole vocabulary, so only this function needs it

    try:
        GGUFReader(file)
    except (ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise ModelInvalidError(
            f"{file} ({file.stat().st_size:,} bytes) is incomplete or damaged ({error}): copy or download the file again"
        ) from error


def check_whole_apart(file: Path) -> None:
    """Call `check_whole` in another process: it runs Python for seconds, or for minutes if a busy engine holds the GIL."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(check_whole, file).result()


def find_gguf(model: Path) -> Path | None:
    """Return `model` if it is a GGUF file, or the only GGUF model of the directory `model`, else None."""
    if model.suffix == ".gguf" and model.is_file():
        return model
    found = gguf_models(model)
    return found[0] if len(found) == 1 else None


def gguf_models(directory: Path) -> list[Path]:
    """Return the GGUF models of a directory; none if it has a model in Hugging Face's format.

    Files `mmproj*.gguf` are left out: they convert images for a multimodal model.
    """
    if (directory / "config.json").is_file() and any(directory.glob("*.safetensors")):
        return []
    return [file for file in directory.glob("*.gguf") if not file.name.startswith("mmproj")]


def is_readable(model: Path) -> bool:
    """Return whether OpenVINO can read the model: a GGUF file, or a directory with one GGUF model or OpenVINO IR."""
    return find_gguf(model) is not None or (model / IR_MODEL).is_file()


@contextlib.contextmanager
def writable_file(model: Path) -> Iterator[Path]:
    """Yield `model`, or a temporary copy of a GGUF file that this process may not write: OpenVINO opens it for writing too."""
    if not model.is_file() or os.access(model, os.W_OK):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="weir-weights-") as folder:
        yield Path(shutil.copy(model, folder))


def context_length(model: Path) -> int:
    """Return the context length, in tokens, of a model that OpenVINO can read; raises ModelInvalidError."""
    if (file := find_gguf(model)) is not None:
        return _gguf_context_length(file)
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        return int(config.get("text_config", config)["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:  # JSON of any shape
        raise ModelInvalidError(
            f"{model}/config.json has no max_position_embeddings: export the model again with optimum-cli"
        ) from error


def _gguf_context_length(file: Path) -> int:
    """Search the header for the context length; `GGUFReader` needs a second, as it reads the vocabulary."""
    with file.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    at = header.find(_CONTEXT_KEY)
    value = header[at + len(_CONTEXT_KEY) :][: _VALUE.size]
    if header.startswith(_MAGIC) and at > 0 and len(value) == _VALUE.size:
        kind, length = _VALUE.unpack(value)
        if kind == _UINT32:
            return int(length)
    raise ModelInvalidError(f"{file} has no context length in its header: use a GGUF file of a language model")


def rewrite_as_f16(source: Path, target: Path, progress: Progress) -> None:
    """Copy the GGUF file `source` to `target`, with quantised weights converted to F16.

    For 135 million parameters, this needs about 5 s and 600 MB of memory.
    """
    from gguf import GGMLQuantizationType, LlamaFileType  # noqa: PLC0415 - only this function needs it

    from stream.gguf_files import Floats, GGUFReader, Matrix, copy_gguf, half  # noqa: PLC0415 - as above

    progress("reading the model", 0.0)
    reader = GGUFReader(source)
    done = 0

    def convert(name: str, values: Floats, kind: GGMLQuantizationType) -> Matrix:
        nonlocal done
        done += 1
        progress("converting weights", 0.5 + 0.3 * done / len(reader.tensors))
        return name, values, half(kind)

    copy_gguf(reader, target, LlamaFileType.MOSTLY_F16, convert)
    progress("done", 1.0)
