"""Detectors that learn from a stream of events: drift, anomaly, sentinel, bias, tool_mix."""
