"""How the stream grows: with workers and partitions, retained history, and tenants; ``make bench PARTS=growth``.

Figures are printed, never asserted; docs/benchmarks.md has them.
"""
