"""The process of a training run: ``python -m stream.loop.training HOME RUN_FOLDER``.

Its standard output has one JSON value a line (:data:`stream.loop.training.job.Line`); libraries print to standard error.
The process ends when its standard input closes, so that it does not outlive the trainer that started it.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from stream.files import FileLock
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Failed, Line, RunFolder, Trained

INTERRUPTED = 75
FAILED = 1
_ORPHANED = 3
#: No telemetry of trl, no look-ups on the hub, and no cache outside of the stack's home.
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "PASSIVE",
}


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
        except (TrainingError, OSError) as error:
            report(Failed(reason=str(error)))
            return FAILED


def _run(home: Path, folder: RunFolder, report: Callable[[Line], None]) -> int:
    os.environ.update(_ENVIRONMENT, HF_HOME=str(folder.path / "hf"))
    from datasets import disable_progress_bars  # noqa: PLC0415 - after the environment, which these imports read

    from stream.loop.training.lora import train  # noqa: PLC0415 - as above
    from stream.loop.training.version import make_version  # noqa: PLC0415 - as above

    disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)  # its warnings quote prompts
    job = folder.read()
    outcome = train(job, folder, report)
    if outcome.adapter is None:
        return INTERRUPTED
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
