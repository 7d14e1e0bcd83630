"""Commands in processes of their own, which end with the task that waits for them."""

import asyncio
import contextlib
from collections.abc import Sequence

_STOP_SECONDS = 30.0


async def run_child(command: Sequence[str], seconds: float) -> tuple[int, bytes, str]:
    """Run `command`; return its exit status, its output, and the last line that it wrote to standard error.

    Raises TimeoutError if the command needs longer than `seconds`.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            out, error = await process.communicate()
    finally:
        await end_child(process)
    return process.returncode or 0, out, error.decode(errors="replace").strip().rpartition("\n")[2]


async def end_child(process: asyncio.subprocess.Process) -> None:
    """End `process` if it runs: SIGTERM, and after 30 s SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
