"""Checkpoints of a run on a Ray cluster: what a new driver takes over from the drivers before it.

Ray reads its list of checkpoints from the run's folder at the start. A driver that was killed can leave an incomplete list, and its remaining processes
can write and delete checkpoints for some moments. So each driver has its own folder in the storage.
"""

import contextlib
import secrets
from pathlib import Path
from typing import NamedTuple

import ray.train
from pyarrow import fs

from stream.loop.training.checkpoints import read_checkpoint

_TAKEN_OVER = "taken-over"
_KEY_CHARACTERS = 16


class DriverFolder(NamedTuple):
    """The storage, the name of a driver's folder in it, and the checkpoint from which the driver continues, a copy in this folder."""

    storage: str
    name: str
    checkpoint: ray.train.Checkpoint | None


def take_over(storage: str, key: str) -> DriverFolder:
    """Name a new folder in `storage`, a folder or a URL, copy the newest intact checkpoint to it, and delete the folders of earlier drivers.

    `key` is the key of the job (:meth:`TrainingJob.weights_key`); folders of other jobs are not read. Raises OSError if the storage fails.
    """
    files, root = fs.FileSystem.from_uri(storage)
    job = key[:_KEY_CHARACTERS]
    name = f"{job}-{secrets.token_hex(4)}"
    earlier = [path for path in _folders(files, root) if Path(path).name.partition("-")[0] == job]
    copy = ray.train.Checkpoint(f"{root}/{name}/{_TAKEN_OVER}", files)
    files.create_dir(copy.path)
    stored = [path for folder in earlier for path in _folders(files, folder)]
    found = None
    for seconds, path in sorted(((_seconds(files, path, key), path) for path in stored), reverse=True):
        if seconds < 0:
            break
        with contextlib.suppress(FileNotFoundError):  # a process of a dead driver deleted the checkpoint
            fs.copy_files(path, copy.path, files, files, use_threads=False)
        if _seconds(files, copy.path, key) >= 0:
            found = copy
            break
    for folder in earlier:
        with contextlib.suppress(FileNotFoundError):
            files.delete_dir(folder)
    return DriverFolder(storage, name, found)


def _folders(files: fs.FileSystem, path: str) -> list[str]:
    found = files.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [info.path for info in found if info.type == fs.FileType.Directory]


def _seconds(files: fs.FileSystem, path: str, key: str) -> float:
    """Return the training time before the checkpoint in `path`, in seconds, or -1 if it is not an intact checkpoint of the job `key`."""
    try:
        with ray.train.Checkpoint(path, files).as_directory() as local:
            found = read_checkpoint(Path(local), key)
    except FileNotFoundError:
        return -1.0
    return found.seconds if found else -1.0
