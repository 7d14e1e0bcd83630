"""The fixture `lab`, on each kind of broker."""

import pytest
from support.lab import Lab


@pytest.fixture
def lab(broker, tmp_path) -> Lab:
    return Lab(broker.bootstrap, tmp_path)
