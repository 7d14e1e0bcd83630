"""Measures the detectors on labelled data: ``python -m detectors.evaluate --data DIR``."""
