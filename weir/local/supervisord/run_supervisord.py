"""Run supervisord so that a full disk does not end it: ``python -m weir.local.supervisord.run_supervisord ARGUMENTS``.

If supervisord cannot write to a log, it prints the error to stderr, a file on the same disk. An error of this second write would end
supervisord, and so all components.

Only their owner can read the files of supervisord and of its components; supervisord applies its setting `umask` only as a daemon.
"""

import io
import os
import sys
from typing import Any, TextIO

from supervisor import supervisord


class _TolerantFile(io.FileIO):
    """A file that drops bytes that cannot be written."""

    def write(self, data: Any) -> int:
        """Write `data`, or drop it; return the number of bytes that need no further write."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


def tolerant_stream(handle: int) -> TextIO:
    """Return a text stream that writes to the open file `handle`, and drops text that cannot be written."""
    file = io.BufferedWriter(_TolerantFile(handle, "w", closefd=False))
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def main(argv: list[str]) -> None:
    """Run supervisord with the arguments `argv`."""
    sys.stdout, sys.stderr = tolerant_stream(1), tolerant_stream(2)
    supervisord.main(argv)


if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1:])
