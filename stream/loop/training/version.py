"""Make the folder of a model version: adapter, merged weights, manifest, card and signature; all appear at once."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from stream.files import FileLock, file_digest, replace_folder
from stream.loop.training.errors import TrainingError
from stream.loop.training.gguf_metadata import LLAMA, architecture, gguf_of, open_gguf
from stream.loop.training.job import TrainingJob, VersionFolder, version_of
from stream.loop.training.manifest import VersionManifest
from stream.loop.training.merge import write_merged
from stream.loop.training.model_card import model_card
from stream.loop.training.signing import ADAPTER_FILES, ensure_keys, sign, verify_version

_DRAFT = ".draft-"
_LIBRARIES = ("torch", "transformers", "peft", "trl")


def make_version(job: TrainingJob, home: Path, adapter: Path, numbers: dict[str, float]) -> VersionManifest:
    """Make the version of the adapter in the folder `adapter`, and return its manifest; idempotent.

    Raises TrainingError if the adapter does not fit the base or belongs to another tenant or model, and OSError if the disk is full or
    fails.
    """
    digest = file_digest(adapter / "adapter_model.safetensors")
    version = version_of(digest)
    if (known := existing_version(home, version, job)) is not None:
        return known
    with draft_of(home) as draft:
        draft.adapter.mkdir(mode=0o700)
        for name in sorted(ADAPTER_FILES):
            shutil.copyfile(adapter / name, draft.adapter / name)
        base = gguf_of(Path(job.base))
        if base is not None and architecture(reader := open_gguf(base)) == LLAMA:
            write_merged(reader, draft.adapter, draft.merged)
        # The URL of a storage can contain credentials, and commands print the manifest.
        cluster = job.ray and msgspec.structs.replace(job.ray, storage="")
        manifest = VersionManifest(
            version=version,
            job=msgspec.structs.replace(job, ray=cluster),
            adapter_digest=digest,
            weights_digest=file_digest(draft.merged) if draft.merged.exists() else "",
            numbers=numbers,
            libraries=releases(_LIBRARIES),
            files={},
        )
        return publish_version(home, draft, manifest)


def existing_version(home: Path, version: str, job: TrainingJob) -> VersionManifest | None:
    """Return the manifest of `version` if it exists and verifies, otherwise None.

    Raises TrainingError if the version belongs to another tenant or model than `job`.
    """
    try:
        known = verify_version(home, version)
    except TrainingError:
        return None
    if (known.job.tenant, known.job.model) != (job.tenant, job.model):
        raise TrainingError(
            f"these weights are version {version} of {known.job.tenant} / {known.job.model}, and a version has one tenant and model; "
            f"use the version there, or serve {job.tenant} / {job.model} from a base model with other weights"
        )
    return known


@contextlib.contextmanager
def draft_of(home: Path) -> Iterator[VersionFolder]:
    """Return an empty folder beside the versions; it is deleted at the end of the body, unless it was published.

    Folders of processes that were killed are deleted at the next call.
    """
    versions = VersionFolder.of(home, "").path
    versions.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in versions.glob(f"{_DRAFT}*"):
        with contextlib.suppress(OSError):  # another process deletes it
            if (lock := FileLock.try_acquire(left / "lock")) is not None:
                with lock:
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=versions) as folder, FileLock.acquire(Path(folder) / "lock"):
        draft = VersionFolder(Path(folder) / "version")
        draft.path.mkdir(mode=0o700)
        yield draft


def publish_version(home: Path, draft: VersionFolder, manifest: VersionManifest) -> VersionManifest:
    """Add the card and `manifest` with the digests of all other files to `draft`, sign the files, rename the folder to that of the version.

    An existing folder of the version, which does not verify, is deleted. Returns the manifest with the digests.
    """
    draft.card.write_text(model_card(manifest), encoding="utf-8")
    digests = {str(path.relative_to(draft.path)): file_digest(path) for path in _files(draft.path)}
    manifest = msgspec.structs.replace(manifest, files=digests)
    draft.manifest.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    for path in _files(draft.path):
        path.chmod(0o600)
    sign(draft, ensure_keys(home))
    replace_folder(VersionFolder.of(home, manifest.version).path, draft.path)
    return manifest


def releases(libraries: Sequence[str]) -> dict[str, str]:
    """Return {library: installed release}."""
    return {name: metadata.version(name) for name in libraries}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
