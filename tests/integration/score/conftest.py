"""Weir's topics on a broker, for the score app."""

import pytest
from support.score_stack import ScoreLab


@pytest.fixture
async def lab(apache_broker, tmp_path) -> ScoreLab:
    return await ScoreLab(apache_broker.bootstrap, tmp_path).create()


@pytest.fixture
async def either(broker, tmp_path) -> ScoreLab:
    return await ScoreLab(broker.bootstrap, tmp_path).create()
