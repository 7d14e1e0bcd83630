"""Fetch a model from the Hugging Face hub at a pinned revision."""

import errno
from pathlib import Path
from typing import Any

from serving.engine.catalogue import HubSource
from serving.engine.errors import ModelInvalidError, ModelNotFoundError
from serving.engine.model_files import Progress, directory_digest
from stream.files import file_digest

_REVISION_SECONDS = 10.0
_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.model", "merges.txt", "vocab.txt"]
_ACCESS = (
    "check the name; a private or gated model needs its licence accepted, and HF_TOKEN with a token that may read it"
)
_NOT_PATTERNS = ["onnx/*", "runs/*", "*/*"]


def from_hub(source: HubSource, target: Path, progress: Progress) -> str:
    """Download `source` into the directory `target` and return the digest of its weights.

    Raises
    ------
    ModelNotFoundError
        The hub cannot be reached, or does not have this revision.
    ModelInvalidError
        The digest differs from the pinned digest.
    OSError
        The disk is full.
    """
    import httpx  # noqa: PLC0415 - as below
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only a download needs it
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415 - as above

    try:
        snapshot_download(
            source.repository,
            revision=source.revision,
            local_dir=target,
            allow_patterns=_PATTERNS,
            ignore_patterns=_NOT_PATTERNS,
            tqdm_class=_reporting(progress, source.repository),
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise  # the fault of the disk, not of the hub
        raise ModelNotFoundError(
            f"{source.repository}@{source.revision} cannot be downloaded from the hub: {_problem(error)}"
        ) from error
    return _checked(source, target)


def _checked(source: HubSource, target: Path) -> str:
    if not source.sha256:
        return directory_digest(target)
    digest = file_digest(target / source.weights)
    if digest != source.sha256:
        raise ModelInvalidError(
            f"{source.repository}@{source.revision}: {source.weights} has SHA-256 {digest}, pinned is {source.sha256}"
        )
    return digest


def hub_revision(repository: str) -> str:
    """Return the current commit of a repository's main branch, so that all files are downloaded from one commit.

    Raises ModelNotFoundError if the hub cannot be reached, or does not have the repository.
    """
    import httpx  # noqa: PLC0415 - as below
    from huggingface_hub import HfApi  # noqa: PLC0415 - only a request to the hub needs it
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - as above

    try:
        sha: str | None = HfApi().model_info(repository, timeout=_REVISION_SECONDS).sha
    except (HFValidationError, httpx.HTTPError, OSError) as error:  # HfHubHTTPError is an HTTPError
        raise ModelNotFoundError(
            f"{repository} is neither a known model nor a directory, and it cannot be fetched from the hub: {_problem(error)}"
        ) from error
    if sha is None:
        raise ModelNotFoundError(f"the hub has no revision of {repository}: check the name")
    return sha


def _problem(error: BaseException) -> str:
    """Return why the hub's client failed, and the fix."""
    import httpx  # noqa: PLC0415 - as below
    from huggingface_hub.errors import (  # noqa: PLC0415 - only a failed download needs it
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if (
        isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None
    ):  # a download without files on this machine
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        fixes: dict[int, str] = {
            httpx.codes.UNAUTHORIZED: _ACCESS,
            httpx.codes.FORBIDDEN: _ACCESS,
            httpx.codes.NOT_FOUND: "check the name and the revision",
        }
        return f"it answers {status}; {fixes.get(status, 'try again later')}, or set a local directory"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it, or set a local directory"
    if isinstance(error, httpx.HTTPError | OSError):
        return f"it cannot be reached ({type(error).__name__}: {error}); check the network and HTTPS_PROXY, or set a local directory"
    return f"{type(error).__name__}: {error}; check the name, or set a local directory"


def _reporting(progress: Progress, what: str) -> type[Any]:
    """Return a progress bar class (tqdm) that draws nothing and calls `progress` with the share of downloaded bytes."""
    from tqdm.auto import tqdm  # noqa: PLC0415 - only a download needs it

    class Reporting(tqdm):  # type: ignore[misc] # it has no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            self._in_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self._in_bytes and self.total:
                progress(f"downloading {what}", min(self.n / self.total, 1.0))
            return shown

    return Reporting


class _Nowhere:
    """A file that discards its content."""

    def write(self, _text: str) -> int:
        return 0

    def flush(self) -> None:
        return None
