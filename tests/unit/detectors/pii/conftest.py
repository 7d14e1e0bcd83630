"""Fixtures: the PII detector, and its patterns without the token head; each is loaded once."""

import pytest

from detectors.registry import create_text


def _loaded(**options):
    made = create_text("pii", options)
    made.load()
    return made


@pytest.fixture(scope="session")
def patterns():
    return _loaded(entities=False)


@pytest.fixture(scope="session")
def detector():
    return _loaded()
