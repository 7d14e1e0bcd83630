"""The capabilities that every registered detector declares on its class, and the cost of reading them."""

import subprocess
import sys

import pytest

from detectors.base import Reads
from detectors.registry import DETECTORS, STREAM, TEXT

HEAVY = {"torch", "river", "presidio_analyzer", "transformers", "tokenizers", "scipy", "sklearn", "fasttext"}


@pytest.mark.parametrize("name", DETECTORS)
def test_capabilities_are_complete(name):
    detector = DETECTORS[name]
    assert detector.name == name
    assert detector.sides
    assert set(detector.sides) <= {"input", "output"}
    if name in STREAM:
        assert detector.alert is not None, "the findings of a stream detector always open alerts"
    if name in TEXT:
        assert isinstance(detector.reads, Reads)
    if detector.alert is not None:
        assert detector.alert.subject[:1].islower()
        assert detector.alert.runbook.endswith(".")


def test_the_registry_imports_no_library_of_a_detector():
    source = "import detectors.registry, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stdout.split()) == set()
