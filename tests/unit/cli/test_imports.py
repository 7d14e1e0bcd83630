"""The command starts fast, because it imports only what a command needs."""

import subprocess

import pytest
from support.commands import WEIR

from weir.cli import SUBCOMMANDS

HEAVY = {"torch", "faust", "ray", "transformers", "mlflow"}
CLIENTS = {"aiokafka", "river", "pydantic"}
#: The help of the other commands lists detectors, dispositions or event types and imports the modules that define them.
LIGHT = SUBCOMMANDS.keys() - {"dlq", "explain", "replay", "score"}


def imported(*arguments):
    """Return the top-level modules that ``weir ARGUMENTS`` imports."""
    report = (
        "import atexit, sys; atexit.register(lambda: print(*{m.split('.')[0] for m in sys.modules}, file=sys.stderr))"
    )
    program, flag, code = WEIR
    done = subprocess.run([program, flag, f"{report}; {code}", *arguments], capture_output=True, text=True, check=True)
    assert "weir" in done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)], ids=" ".join)
def test_help_and_version_import_only_click(arguments):
    assert imported(*arguments).isdisjoint(HEAVY | CLIENTS)


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_the_help_of_a_command_imports_no_model_library(command):
    assert imported(command, "--help").isdisjoint(HEAVY | (CLIENTS if command in LIGHT else set()))
