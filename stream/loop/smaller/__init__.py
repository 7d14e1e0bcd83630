"""Smaller and cheaper versions of a model: quantised weights, and dropped layers with a short distillation."""
