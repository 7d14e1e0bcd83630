"""How the stream grows: with workers and partitions, retained history, tenants, sources; ``python -m bench growth`` prints it.

Each piece runs alone too (``growth.workers``, ``growth.history``, ``growth.tenants``, ``growth.sources``, ``growth.recovery``). Figures are
printed, never asserted; docs/benchmarks.md says where they bend and why.
"""

from bench.growth.table import PIECES, run

__all__ = ["PIECES", "run"]
