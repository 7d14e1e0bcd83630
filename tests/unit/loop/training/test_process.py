"""The commands that a trainer runs."""

import sys

import pytest

from stream.loop.training.errors import TrainingError
from stream.loop.training.process import run_command

_FAILS = [sys.executable, "-c", "import sys; sys.exit('weir: too few rows')"]


@pytest.mark.parametrize("arguments", [("gate", "m_1", "--json"), ("dataset", "build", "--for", "rt_1", "--json")])
async def test_the_error_names_a_failed_command_as_an_operator_types_it(arguments):
    with pytest.raises(TrainingError) as raised:
        await run_command([*_FAILS, *arguments], 60.0)
    assert str(raised.value) == f"`weir {' '.join(arguments)}` failed with status 1: weir: too few rows"


async def test_the_error_names_a_failed_command_without_arguments():
    with pytest.raises(TrainingError, match="`false` failed with status 1"):
        await run_command(["false"], 60.0)


async def test_the_error_names_a_command_that_needs_too_long_and_the_limit():
    with pytest.raises(TrainingError, match=r"`weir gate m_1` did not end within 0\.2 s"):
        await run_command([sys.executable, "-c", "import time; time.sleep(60)", "gate", "m_1"], 0.2)
