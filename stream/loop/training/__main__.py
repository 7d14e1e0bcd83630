"""The process of a training run: ``python -m stream.loop.training HOME RUN_FOLDER``.

Its standard output has one JSON value per line (:data:`stream.loop.training.job.Line`); libraries print to standard error.
The process ends when its standard input closes, so that it does not outlive the trainer that started it.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from stream.errors import StreamError
from stream.files import FileLock
from stream.loop.training.job import Failed, Line, RunFolder, Trained

INTERRUPTED = 75
FAILED = 1
_ORPHANED = 3
_MIB = 1024**2
#: With less, writing a checkpoint fails, as `weir status` reports.
_FULL_BYTES = 64 * _MIB


def main(home: Path, folder: RunFolder) -> int:
    """Run the job of `folder` and return the exit status."""
    printed = _own_output()

    def report(line: Line) -> None:
        printed(msgspec.json.encode(line) + b"\n")

    threading.Thread(target=_end_with_parent, daemon=True).start()
    lock = FileLock.try_acquire(folder.lock)
    if lock is None:
        report(Failed(reason=f"another process trains in {folder.path}; wait until it ends"))
        return FAILED
    with lock:
        try:
            return _run(home, folder, report)
        except Exception as error:
            if (reason := reason_of(error, folder.path)) is None:
                raise
            report(Failed(reason=reason))
            return FAILED


def reason_of(error: Exception, folder: Path) -> str | None:
    """Return why the run failed, or None for an unexpected error, after which the trainer starts the run again.

    On a full disk, safetensors and torch raise their own errors.
    """
    if isinstance(error, StreamError):
        return str(error)
    free = shutil.disk_usage(folder).free
    if free < _FULL_BYTES:
        return (
            f"{free / _MIB:.1f} MiB are free on the disk of {folder}, which needs at least {_FULL_BYTES / _MIB:.0f} MiB; "
            f"free space on it ({type(error).__name__}: {error})"
        )
    return str(error) if isinstance(error, OSError) else None


def _run(home: Path, folder: RunFolder, report: Callable[[Line], None]) -> int:
    job = folder.read()
    os.environ.update(folder.environment())  # before the imports, which read it
    if job.ray:
        from stream.loop.training.ray_driver import train_on_cluster as train  # noqa: PLC0415
    else:
        from stream.loop.training.lora import train  # noqa: PLC0415
    outcome = train(job, folder, report)
    if outcome.adapter is None:
        return INTERRUPTED
    from stream.loop.training.version import make_version  # noqa: PLC0415

    manifest = make_version(job, home, outcome.adapter, outcome.numbers)
    report(Trained(version=manifest.version, numbers=manifest.numbers))
    return 0


def _own_output() -> Callable[[bytes], object]:
    """Return a function that writes to standard output; afterwards, prints of libraries go to standard error."""
    handle = os.dup(1)
    os.dup2(2, 1)
    return lambda line: os.write(handle, line)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), RunFolder(Path(sys.argv[2]))))
