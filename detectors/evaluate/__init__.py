"""Evaluation of detectors on labelled data, as `weir eval` runs it."""
