import pytest
from support.intake import intake


@pytest.fixture
async def running(tmp_path):
    async with intake(tmp_path / "home") as running:
        yield running
