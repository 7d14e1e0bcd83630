"""Quantise the weights of a GGUF file with the `gguf` library: 8 or 4 bits per weight, in blocks of 32."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import gguf

from stream.gguf_files import Floats, Matrix, copy_gguf
from stream.loop.training.errors import TrainingError
from stream.loop.training.gguf_metadata import open_gguf

_Kind = gguf.GGMLQuantizationType
_File = gguf.LlamaFileType
#: Q4_1 has a minimum in each block, and is closer to the weights than Q4_0; `gguf` does not write K-quants.
PRECISIONS: Final[dict[str, tuple[_Kind, _File]]] = {
    "int8": (_Kind.Q8_0, _File.MOSTLY_Q8_0),
    "int4": (_Kind.Q4_1, _File.MOSTLY_Q4_1),
}
_EMBEDDING = ("token_embd.weight", "output.weight")

Report = Callable[[str, int, int], None]
"""Called with the step of the work, the completed units and their number; 0: unknown."""


def write_quantised(source: Path, target: Path, precision: str, report: Report) -> None:
    """Write the model of the GGUF file `source` to `target`, with its matrices in `precision`.

    Vectors keep their type. With ``int4``, the token embedding and the output matrix have 8 bits, because errors there
    change every token. A matrix whose row length is not a multiple of 32 stays in F16.

    Raises TrainingError if `source` is damaged, is quantised to `precision` or fewer bits already, or has no matrix that can be
    quantised; OSError if the disk is full or fails.
    """
    wanted, file_type = PRECISIONS[precision]
    reader = open_gguf(source)
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    inner = [one.tensor_type for one in reader.tensors if len(one.shape) > 1 and one.name not in _EMBEDDING]
    bits = max((_bits(kind) for kind in inner), default=0.0)
    if bits <= _bits(wanted):
        raise TrainingError(
            f"{source} has {bits:g} bits a weight, and {precision} has {_bits(wanted):g}; quantise a version with more bits"
        )
    total, done, quantised = len(reader.tensors), 0, 0

    def convert(name: str, values: Floats, kind: _Kind) -> Matrix:
        nonlocal done, quantised
        done += 1
        report("quantising", done, total)
        if values.ndim == 1:
            return name, values, kind
        if values.shape[-1] % block:
            return name, values, _Kind.F16
        quantised += 1
        return name, values, _Kind.Q8_0 if name in _EMBEDDING else wanted

    copy_gguf(reader, target, file_type, convert)
    if not quantised:
        target.unlink(missing_ok=True)
        raise TrainingError(
            f"{source} has no matrix whose rows are a multiple of {block} numbers, so it cannot be quantised; use it as it is"
        )


def _bits(kind: _Kind) -> float:
    """Return the bits of a weight, with its share of the block's scale."""
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    return 8 * size / weights
