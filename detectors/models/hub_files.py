"""Files of a model from the Hugging Face hub: find or download them, check their digests and load them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Patterns of the files to download; they exclude pickles and Python code.
_WANTED = ("*.json", "*.txt", "*.safetensors")
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".msgpack", ".h5")


def check_source(model: str, revision: str) -> None:
    """Raise ConfigError if no model is configured, or a repository without a commit; a branch name is not accepted, because the branch could change."""
    if not model:
        raise ConfigError("detector hub has no model: name a folder or a repository in detectors.options.hub.model")
    if _REPOSITORY.fullmatch(model) and not _COMMIT.fullmatch(revision) and not Path(model).is_dir():
        raise ConfigError(
            f"the revision of hub model {model} is {revision!r}: set detectors.options.hub.revision to its commit, 40 hexadecimal digits"
        )


def hub_folder(model: str, revision: str, *, allow_download: bool) -> Path:
    """Return the model's folder: ``model`` if it is a folder, else the repository's folder in the hub's local cache.

    Raises ConfigError as :func:`check_source`.
    Raises WeightsError if ``model`` is neither a folder nor OWNER/NAME, if huggingface-hub is not installed, or if the model is
    not in the cache and the download fails or is not allowed.
    """
    check_source(model, revision)
    if Path(model).is_dir():
        return Path(model)
    if not _REPOSITORY.fullmatch(model):
        raise WeightsError(
            f"hub model {model!r} is neither a folder nor an OWNER/NAME of the hub: correct detectors.options.hub.model"
        )
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - only a model from the hub needs it
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"hub model {model} needs the package huggingface-hub: pip install huggingface-hub, or set detectors.options.hub.model to a folder"
        ) from error
    try:
        return Path(
            snapshot_download(
                model, revision=revision, allow_patterns=list(_WANTED), local_files_only=not allow_download
            )
        )
    except (OSError, ValueError) as error:
        problem = (
            "cannot be downloaded ({}): check its name, its commit and the network"
            if allow_download
            else "is not in the hub's cache ({}): set detectors.options.hub.allow_download = true, or name a folder"
        )
        raise WeightsError(f"hub model {model} at {revision[:12]} {problem.format(type(error).__name__)}") from error


def safetensors_of(folder: Path) -> list[str]:
    """Return the names of a model's safetensors files: one file, or the shards that the index file lists.

    Raises WeightsError if the folder has no safetensors file, or if the index file is invalid.
    """
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = set(json.loads(index.read_bytes())["weight_map"].values())
        except (ValueError, KeyError, AttributeError) as error:
            raise WeightsError(f"{index} is not an index of shards: fetch it again") from error
        if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise WeightsError(f"{index} names files outside its folder: fetch it again")
        return sorted(names)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise WeightsError(
            f"{folder} has its weights only in {pickled[0]}: a pickle can run code and is never opened. Take a revision with"
            " model.safetensors, or convert it where you trust it: AutoModelForSequenceClassification.from_pretrained(FOLDER)"
            ".save_pretrained(OTHER), and name OTHER"
        )
    raise WeightsError(
        f"{folder} has no model.safetensors: name the folder that contains it, or fetch the repository again"
    )


def read_weights(folder: Path, names: Sequence[str], digests: Mapping[str, str]) -> "dict[str, Tensor]":
    """Check the digest of every file in ``names`` or ``digests``; return the tensors of the files in ``names``.

    Raises WeightsError if a file is missing, has no configured digest, or has another digest.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 - imported with torch, which takes seconds
    from safetensors.torch import load  # noqa: PLC0415 - as above

    state: dict[str, Tensor] = {}
    for name in sorted({*names, *digests}):
        data = _checked(folder, name, digests.get(name, ""))
        if name in names:
            try:
                state |= load(data)
            except SafetensorError as error:
                raise WeightsError(f"{folder / name} is not a safetensors file: {error}") from error
    return state


def _checked(folder: Path, name: str, digest: str) -> bytes:
    try:
        data = (folder / Path(name).name).read_bytes()
    except OSError as error:
        raise WeightsError(
            f"cannot read {folder / name}: {error.strerror}; remove its digest from detectors.options.hub.sha256, or fetch the file again"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if not _SHA256.fullmatch(digest):
        raise WeightsError(
            f"no SHA-256 is given for {name} of {folder}, whose SHA-256 is {found}: compare it with the publisher's, and add it to"
            " detectors.options.hub.sha256"
        )
    if found != digest:
        raise WeightsError(
            f"{folder / name} has SHA-256 {found}, but detectors.options.hub.sha256 has {digest}: fetch the revision that you pinned"
        )
    return data


def tokenizer_of(folder: Path) -> "Tokenizer":
    """Return the tokenizer of a model, read from ``tokenizer.json``.

    Raises WeightsError if the file is missing or cannot be read.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 - loaded with torch

    try:
        return Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises a plain Exception for an unreadable file
        raise WeightsError(
            f"{folder} has no tokenizer.json that can be read: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            " writes one"
        ) from error
