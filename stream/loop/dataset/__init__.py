"""Datasets: a pure function of pinned ranges of the log, with a card, a report and a digest of their content."""
