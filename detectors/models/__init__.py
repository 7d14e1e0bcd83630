"""Models and weight files that several detectors share."""
