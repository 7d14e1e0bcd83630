"""Operator tasks: status, request story and text, cluster terms, retraining history, silences, reviews, trace links."""
