"""Detectors that score one text."""
