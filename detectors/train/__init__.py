"""Training of the detectors' weights; no detector imports this package at run time."""
