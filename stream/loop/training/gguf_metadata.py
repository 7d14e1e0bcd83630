"""Find and open a GGUF file, and read its metadata, with errors that state the remedy."""

import struct
from pathlib import Path

import gguf

from stream.gguf_files import GGUFReader
from stream.loop.training.errors import TrainingError

#: The architecture whose rows of q and k llama.cpp permutes, and the only one that is tested here.
LLAMA = "llama"
#: Errors that `gguf` raises for a file that is cut off or is not a GGUF file.
_DAMAGED = (ValueError, KeyError, IndexError, OverflowError, UnicodeDecodeError, struct.error)


def gguf_of(base: Path) -> Path | None:
    """Return the GGUF file of a base model, or None for a folder in Hugging Face's format.

    Raises TrainingError if the folder has neither config.json nor exactly one GGUF file.
    """
    if base.is_file():
        return base
    if (base / "config.json").is_file():
        return None
    found = [path for path in base.glob("*.gguf") if not path.name.startswith("mmproj")]
    if len(found) != 1:
        raise TrainingError(f"{base} has no config.json and {len(found)} GGUF files; one is needed")
    return found[0]


def open_gguf(file: Path) -> GGUFReader:
    """Open a GGUF file; raises TrainingError if the file is damaged or has no architecture in its metadata."""
    try:
        reader = GGUFReader(file)
        architecture(reader)
    except _DAMAGED as error:
        raise TrainingError(
            f"{file} is damaged or no GGUF file ({type(error).__name__}); replace the file, or delete it to fetch it again"
        ) from error
    return reader


def architecture(reader: GGUFReader) -> str:
    """Return the architecture of a model, such as ``llama``."""
    return str(_field(reader, "general.architecture").contents())


def number(reader: GGUFReader, key: str) -> int:
    """Return a number of the architecture's shape, such as ``block_count``; raises TrainingError if the file has no such number."""
    return int(_field(reader, f"{architecture(reader)}.{key}").contents())


def _field(reader: GGUFReader, name: str) -> gguf.ReaderField:
    if name not in reader.fields:
        raise TrainingError(f"{reader.file} has no {name} in its metadata; convert or download the model again")
    return reader.fields[name]
