"""Studies of the drift detector: run lengths on streams without a change, delays after a change; ``make bench PARTS=drift.delays``.

A seed determines the table. docs/detector-figures.md has the figures.
"""
