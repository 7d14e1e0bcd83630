"""The caches of the models that several detectors share."""

from detectors.models.recent import Recent


def forget(detector):
    """Empty the caches of a detector of the shared encoder; results do not change."""
    engine = detector.engine
    engine._linear_odds, engine._outputs, engine._languages = Recent(), Recent(), Recent()
    if getattr(detector, "second", None):
        detector.second._recent = Recent()
