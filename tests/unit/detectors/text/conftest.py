"""Fixtures: text detectors; each is loaded once."""

from functools import cache

import pytest

from detectors.registry import create_text


@cache
def _loaded(name):
    made = create_text(name)
    made.load()
    return made


@pytest.fixture(scope="module")
def detector(request):
    """The detector with the name of the test file."""
    return _loaded(request.path.stem.removeprefix("test_"))


@pytest.fixture(scope="session")
def detectors():
    return {name: _loaded(name) for name in ("toxicity", "injection", "refusal")}
