"""The alerts that the ledger raises: coverage, gaps, lag, inactive detectors, full spools."""
