"""Run a command of ``weir`` in a separate process: the ledger's process, which serves the console, has no memory or time for it."""

import asyncio
import contextlib
import re
import sys

from stream.errors import BrokerError
from weir.errors import NotFoundError, StackError, WeirError

_SECONDS = 180.0
#: The last line on standard error after an expected error; another line can be a part of a traceback, which can quote content.
_MESSAGE = re.compile(r"weir (?P<kind>\w+): (?P<message>.+)")
#: The classes of errors with an HTTP status of their own.
_KINDS: dict[str, type[BrokerError | WeirError]] = {kind.__name__: kind for kind in (BrokerError, NotFoundError)}


async def output_of(command: str, *arguments: str) -> bytes:
    """Return the output of ``weir COMMAND ARGUMENTS``; the process has a niceness of 10.

    The caller checks `arguments`: a value that begins with a hyphen would be an option. Raises NotFoundError or BrokerError with
    the message of the command if it ends with this error, and StackError after another error or 180 s.
    """
    program = [sys.executable, "-m", "weir.cli.for_console", command, *arguments]
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
        if failed := _MESSAGE.fullmatch(last):
            raise _KINDS.get(failed["kind"], StackError)(failed["message"])
        raise StackError(
            f"`weir {command}` ended with status {process.returncode}; run it in a terminal to see the cause"
        )
    return out
