"""Studies of the drift detector: run lengths on streams without a change, delays after a change; ``make bench PARTS=drift.delays``.

A seed determines the table. docs/detector-figures.md and docs/adr/0018-alarm-budget.md have the figures.
"""
