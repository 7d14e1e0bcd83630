"""Standard output and error for a reader that ends early (``weir alerts | head -1``) and for a full disk."""

import errno
import io
import select
import sys
from typing import Any, TextIO

_OUTPUT = 1
#: The file name in the error of a write that fails.
_NAME = "standard output"


class _StandardFile(io.FileIO):
    """A file that drops bytes after a write has failed; raises only the first error, and no error if the reader has ended."""

    _failed = False

    def write(self, data: Any) -> int:
        """Write `data` and return the number of bytes that need no further write; raises OSError."""
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if error.errno == errno.EPIPE:
                return len(data)
            raise OSError(error.errno, error.strerror, _NAME) from error


def prepare_standard_streams() -> None:
    """Let the command continue if the program that reads its output ends: the work is done, and the exit status is the command's own.

    Streams that a test has replaced are unchanged.
    """
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _over(sys.stdout)
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = _over(sys.stderr)


def output_closed() -> bool:
    """Return whether the program that reads standard output has ended; a command that only prints then stops."""
    poll = select.poll()
    poll.register(_OUTPUT, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _over(stream: TextIO) -> TextIO:
    file = io.BufferedWriter(_StandardFile(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        file, encoding=stream.encoding, errors=stream.errors, line_buffering=getattr(stream, "line_buffering", False)
    )
