"""Detectors that learn from a stream of buckets: drift, anomaly, sentinel."""
