"""Measures detectors on labelled data, purely: what `weir eval` runs."""
