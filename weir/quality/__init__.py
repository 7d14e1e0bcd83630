"""Detector quality: score, evaluate, train, explain, list models."""
