"""Run a component, whose files only their owner can read."""

import os
import sys

from weir.component.components import main

if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
