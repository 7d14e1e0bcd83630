"""Options of `weir dataset build` that are errors before the command connects to Kafka."""

import pytest
from click.testing import CliRunner

from weir.cli import main

pytestmark = pytest.mark.usefixtures("no_broker")
RANGE = ("--tenant", "acme", "--model", "m")


def build(*arguments):
    return CliRunner().invoke(main, ["dataset", "build", *arguments])


@pytest.mark.parametrize(
    "arguments",
    [(), ("--from", "1d"), RANGE[:2], ("--for", "rt_1", "--from", "1d"), ("--for", "rt_1", "--tenant", "acme")],
)
def test_a_request_has_its_own_range_and_a_range_needs_tenant_and_model(arguments):
    result = build(*arguments)
    assert result.exit_code == 2
    assert "give --for RETRAINING_ID alone, or --tenant and --model" in result.stderr


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (("--from", "1h", "--to", "2h"), "--from 1h is not before --to 2h; swap them"),
        (("--from", "2999-01-01T00:00:00Z"), "--from 2999-01-01T00:00:00Z is not before --to now"),
    ],
)
def test_an_empty_range_is_rejected(times, told):
    result = build(*RANGE, *times)
    assert result.exit_code == 1
    assert told in result.stderr
