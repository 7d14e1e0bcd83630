"""Delivery: a blessed version answers in shadow, then in a canary, and is then promoted or rolled back."""
