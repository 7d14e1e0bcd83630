"""``make bench``: ratios of two arms that are measured alternately in one run. Figures are printed, not asserted."""
