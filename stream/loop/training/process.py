"""Starts the process of a training run, reads its lines, and starts it again if it was killed."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.child_process import end_child, run_child
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Failed, Line, Progress, RunFolder, Trained, TrainingJob

_ATTEMPTS = 4
#: Time for imports, loading and writing the version, beside that of the steps.
_MORE_SECONDS = 900.0
_SHOWN_CHARACTERS = 400
#: The messages of Weir's own errors; other messages, such as a traceback's last line, may quote content.
_EXPECTED = ("weir: ", "MLflow: ")


async def run_training(
    home: Path,
    folder: RunFolder,
    job: TrainingJob,
    on_progress: Callable[[Progress], None],
    on_restart: Callable[[], None],
) -> Trained:
    """Run `job` in `folder` and return its result; a process that was killed continues, at most three times.

    Cancelling the task ends the process, which first writes a checkpoint.

    Raises TrainingError if the run fails, needs longer than its bound, or was killed too often.
    """
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.job.write_bytes(msgspec.json.encode(job))
    for attempt in range(_ATTEMPTS):
        if attempt:
            on_restart()
        try:
            async with asyncio.timeout(job.max_seconds + _MORE_SECONDS):
                ended = await _run_once(home, folder, job, on_progress)
        except TimeoutError:
            raise TrainingError(
                f"the run did not end within {job.max_seconds + _MORE_SECONDS:.0f} s; see {folder.log}"
            ) from None
        if isinstance(ended, Trained):
            return ended
        if isinstance(ended, Failed):
            raise TrainingError(ended.reason)
    raise TrainingError(f"the training process ended early {_ATTEMPTS} times; see {folder.log}")


async def _run_once(
    home: Path, folder: RunFolder, job: TrainingJob, on_progress: Callable[[Progress], None]
) -> Line | None:
    """Return the last line of the process."""
    command = [sys.executable, "-m", "stream.loop.training", str(home), str(folder.path)]
    environment = os.environ | {"OMP_NUM_THREADS": str(job.threads)}
    last: Line | None = None
    with folder.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, env=environment
        )
        try:
            assert process.stdout is not None
            async for raw in process.stdout:
                last = msgspec.json.decode(raw, type=Line)
                if isinstance(last, Progress):
                    on_progress(last)
            await process.wait()
        finally:
            await end_child(process)
    return last


async def run_command(command: Sequence[str], seconds: float) -> Any:
    """Run a command that prints one JSON value, and return the value.

    Raises TrainingError if the command needs longer than `seconds`, or fails, with the message if the error is one of Weir's own.
    """
    # A command of `weir` is `python -c CODE ARGUMENTS`; a person runs it as `weir ARGUMENTS`.
    shown = " ".join(["weir", *command[3:]] if "-c" in command[1:2] else command[-4:])
    try:
        status, out, last = await run_child(command, seconds)
    except TimeoutError:
        raise TrainingError(f"`{shown}` did not end within {seconds:g} s") from None
    if status:
        said = last[:_SHOWN_CHARACTERS] if last.startswith(_EXPECTED) else "run it by hand to see why"
        raise TrainingError(f"`{shown}` failed with status {status}: {said}")
    try:
        return json.loads(out)
    except ValueError:
        raise TrainingError(f"`{shown}` printed no JSON value") from None
