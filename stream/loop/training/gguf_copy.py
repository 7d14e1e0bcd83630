"""Copy a GGUF file with other weights; the metadata and the tokenizer stay.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import contextlib
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from stream.loop.training.errors import TrainingError

__all__ = ["LLAMA", "Floats", "Matrix", "architecture", "copy_gguf", "number", "open_gguf"]

#: The architecture whose rows of q and k llama.cpp permutes, and the only one that is tested here.
LLAMA = "llama"
_REPLACED = ("general.architecture", "general.file_type", "general.quantization_version")
#: Errors that `gguf` raises for a file that is cut off or is no GGUF file.
_DAMAGED = (ValueError, KeyError, IndexError, OverflowError, UnicodeDecodeError, struct.error)

Floats = npt.NDArray[np.float32]
#: (name of the tensor, its values in float32, the type in which they are written).
Matrix = tuple[str, Floats, gguf.GGMLQuantizationType]


def open_gguf(file: Path) -> gguf.GGUFReader:
    """Open a GGUF file; raises TrainingError if the file is damaged."""
    try:
        reader = gguf.GGUFReader(file)
        architecture(reader)
    except _DAMAGED as error:
        raise TrainingError(
            f"{file} is damaged or no GGUF file ({type(error).__name__}); replace the file, or delete it to fetch it again"
        ) from error
    return reader


def architecture(reader: gguf.GGUFReader) -> str:
    """Return the architecture of a model, such as ``llama``."""
    return str(_field(reader, "general.architecture").contents())


def number(reader: gguf.GGUFReader, key: str) -> int:
    """Return a number of the architecture's shape, such as ``block_count``; raises TrainingError if the file has no such number."""
    return int(_field(reader, f"{architecture(reader)}.{key}").contents())


def _field(reader: gguf.GGUFReader, name: str) -> gguf.ReaderField:
    if name not in reader.fields:
        raise TrainingError(
            f"{reader.data.filename} has no {name} in its metadata; convert or download the model again"
        )
    return reader.fields[name]


def copy_gguf(
    reader: gguf.GGUFReader,
    target: Path,
    file_type: gguf.LlamaFileType,
    convert: Callable[[str, Floats, gguf.GGMLQuantizationType], Matrix | None],
    changed: Mapping[str, int] | None = None,
) -> None:
    """Write the model of `reader` to `target`.

    Parameters
    ----------
    file_type
        The file's type in its metadata: that of most weights.
    convert
        Called with the name, the values in float32 and the type of each tensor; returns what to write, or None to leave the
        tensor out.
    changed
        Metadata to replace: {key: number}, of the same type as in the source.

    Raises OSError if the disk is full or fails; then no file is left.
    """
    writer = gguf.GGUFWriter(target, architecture(reader))
    for name, field in reader.fields.items():
        if name not in _REPLACED and not name.startswith("GGUF."):
            element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            value = (changed or {}).get(name, field.contents())
            writer.add_key_value(name, value, field.types[0], element)
    writer.add_file_type(file_type)
    if file_type != gguf.LlamaFileType.MOSTLY_F16:
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if (made := convert(tensor.name, values, tensor.tensor_type)) is not None:
            name, values, kind = made
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.flush()
    except OSError:
        with contextlib.suppress(OSError):
            writer.close()
        target.unlink(missing_ok=True)
        raise
    writer.close()
