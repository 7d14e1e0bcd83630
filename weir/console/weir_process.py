"""Run a command of ``weir`` in a separate process: the ledger's process, which serves the console, has no memory or time for it."""

import re
import sys

from stream.child_process import run_child
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
    try:
        status, out, last = await run_child(["nice", "-n", "10", *program], _SECONDS)
    except TimeoutError:
        shown = " ".join(arguments)
        raise StackError(
            f"`weir {command}` has not ended within {_SECONDS:.0f} s; `weir {command} {shown}` in a terminal has no time limit"
        ) from None
    if status:
        if failed := _MESSAGE.fullmatch(last):
            raise _KINDS.get(failed["kind"], StackError)(failed["message"])
        raise StackError(f"`weir {command}` ended with status {status}; run it in a terminal to see the cause")
    return out
