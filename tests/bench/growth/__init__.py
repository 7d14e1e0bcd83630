"""Throughput and recovery time by number of workers, partitions, retained events and tenants; ``make bench PARTS=growth``.

Figures are printed, not asserted; docs/benchmarks.md has them.
"""
