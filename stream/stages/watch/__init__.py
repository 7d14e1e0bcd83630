"""The watch stage: signals become findings, one closed bucket of event time at a time."""
