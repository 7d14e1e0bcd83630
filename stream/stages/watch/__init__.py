"""The watch stage turns signals into findings: its detectors read one closed bucket (time window) at a time."""
