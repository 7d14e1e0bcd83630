"""Detector quality: score texts, evaluate and train detectors, explain verdicts, list models."""
