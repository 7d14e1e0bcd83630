"""Run a command of ``weir`` in a separate process: the ledger's process, which serves the console, has no memory or time for it."""

import asyncio
import contextlib
import sys
from pathlib import Path

from weir.errors import NotFoundError, StackError

__all__ = ["output_of"]

_SECONDS = 180.0
#: The beginning of each message of the command.
_MESSAGE = "weir: "


async def output_of(command: str, *arguments: str) -> bytes:
    """Return the output of ``weir COMMAND ARGUMENTS``; the process has a niceness of 10.

    The caller checks `arguments`: a value that begins with a hyphen would be an option. Raises NotFoundError with the message of
    the command if it fails, and StackError if it crashes or does not end within 180 s.
    """
    program = [str(Path(sys.executable).with_name("weir")), command, *arguments]
    process = await asyncio.create_subprocess_exec(
        "nice", "-n", "10", *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        shown = " ".join(arguments)
        raise StackError(
            f"`weir {command}` has not ended within {_SECONDS:.0f} s; `weir {command} {shown}` in a terminal has no time limit"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        if last.startswith(_MESSAGE):  # another line can be a part of a traceback, which can quote content
            raise NotFoundError(last.removeprefix(_MESSAGE))
        raise StackError(
            f"`weir {command}` ended with status {process.returncode}; run it in a terminal to see the cause"
        )
    return out
