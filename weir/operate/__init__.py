"""Operator tasks: status, request story, silences, reviews, trace links."""
