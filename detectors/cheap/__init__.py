"""Detectors for answers that are still being generated: no torch, and a bounded cost per token."""
