"""``make bench``: figures as ratios, both sides in one run, in turn; printed, never asserted."""
