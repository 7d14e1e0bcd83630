"""Read GGUF files in a third of the CPU time that gguf needs, and copy them with other weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

#: Held while `gguf` is changed: with two changes at once, one of them would stay.
_CHANGING = threading.Lock()
_REPLACED = ("general.architecture", "general.file_type", "general.quantization_version")

Floats = npt.NDArray[np.float32]
#: (name of the tensor, its values in float32, the type in which they are written).
Matrix = tuple[str, Floats, gguf.GGMLQuantizationType]


class GGUFReader(gguf.GGUFReader):
    """`gguf.GGUFReader` with the file as a plain array: gguf makes a slice for each token, and slices of `numpy.memmap` are slow."""

    def __init__(self, file: Path) -> None:
        self.file = file
        super().__init__(file)

    @property
    def data(self) -> Any:
        """The bytes of the file, which stays mapped, as an array of uint8."""
        return self._bytes

    @data.setter
    def data(self, mapped: npt.NDArray[np.uint8]) -> None:
        self._bytes = mapped.view(np.ndarray)


@contextlib.contextmanager
def read_once() -> Iterator[None]:
    """Let transformers read each GGUF file, and build gguf's map of tensor names, once in the body. One thread at a time.

    Otherwise transformers reads the file again for the configuration, the weights and the tokenizer, and builds the map again for each submodule.
    """
    with _CHANGING:
        before = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
        vars(gguf).update(
            GGUFReader=functools.cache(GGUFReader), get_tensor_name_map=functools.cache(gguf.get_tensor_name_map)
        )
        try:
            yield
        finally:
            vars(gguf).update(before)


def half(kind: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    """Return the type of a tensor in an F16 file: F32 stays (vectors), all others become F16."""
    return kind if kind == gguf.GGMLQuantizationType.F32 else gguf.GGMLQuantizationType.F16


def copy_gguf(
    reader: GGUFReader,
    target: Path,
    file_type: gguf.LlamaFileType,
    convert: Callable[[str, Floats, gguf.GGMLQuantizationType], Matrix | None],
    changed: Mapping[str, int] | None = None,
) -> None:
    """Write the model of `reader` to `target`.

    Parameters
    ----------
    file_type
                The file's type in its metadata: the type of most weights.
    convert
        Called with the name, the values in float32 and the type of each tensor; returns what to write, or None to leave the
        tensor out.
    changed
        Metadata to replace: {key: number}, of the same type as in the source.

    Raises OSError if the disk is full or fails; then no file is left.
    """
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
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
