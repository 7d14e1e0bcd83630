"""The detectors of growing answers by name."""

from detectors.cheap.growing_text import GrowingTextDetector
from detectors.cheap.pii import GrowingPii
from detectors.cheap.toxicity import GrowingToxicity

GROWING: dict[str, type[GrowingTextDetector]] = {detector.name: detector for detector in (GrowingToxicity, GrowingPii)}
