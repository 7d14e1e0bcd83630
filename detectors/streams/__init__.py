"""Detectors that learn from a stream of events."""
