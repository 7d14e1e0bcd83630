"""Run a component."""

import sys

from weir.component.components import main

if __name__ == "__main__":
    sys.exit(main())
