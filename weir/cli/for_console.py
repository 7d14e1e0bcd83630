"""``python -m weir.cli.for_console ARGUMENTS``: a command of ``weir``, whose expected error the console reads with the name of its class."""

import sys

from detectors.errors import DetectorError
from stream.wire.errors import StreamError
from weir.cli import main
from weir.errors import WeirError

if __name__ == "__main__":
    try:
        main.invoke(main.make_context("weir", sys.argv[1:]))
    except (WeirError, StreamError, DetectorError) as error:
        sys.exit(f"weir {type(error).__name__}: {error}")
