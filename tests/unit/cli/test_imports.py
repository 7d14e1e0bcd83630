"""The command starts fast, because it imports only what a command needs."""

import subprocess
import sys

import pytest
from support.commands import WEIR

from weir.cli import SUBCOMMANDS

HEAVY = {"torch", "faust", "ray", "transformers", "mlflow"}
CLIENTS = {"aiokafka", "river", "pydantic"}
#: The help of the other commands lists detectors, dispositions or event types and imports the modules that define them.
LIGHT = SUBCOMMANDS.keys() - {"dlq", "explain", "replay", "score"}


#: Prints, after the help of each command, the command and the top-level modules that are imported so far.
HELP = """
import sys
from weir.cli import main
for command in sys.argv[1:]:
    main([command, "--help"], standalone_mode=False)
    print(command, *{name.split(".")[0] for name in sys.modules}, file=sys.stderr)
"""


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


def test_the_help_of_a_command_imports_no_model_library():
    # In one process, the light commands first: the first command that fails is the one that imports the library.
    commands = sorted(SUBCOMMANDS, key=lambda command: command not in LIGHT)
    script = [sys.executable, "-c", HELP, *commands]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    after = [line.split() for line in done.stderr.splitlines()]
    assert [command for command, *_ in after] == commands
    for command, *modules in after:
        assert (HEAVY | (CLIENTS if command in LIGHT else set())).isdisjoint(modules), command
