"""Output of a command into a pipe whose reader ends early, and to a full disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import WEIR

pytestmark = pytest.mark.usefixtures("home")
_FOLLOWING = """
import asyncio
from weir.cli.render.event_stream import print_stream

async def quiet():
    await asyncio.Event().wait()
    yield

print_stream(quiet(), print, follow=False)
"""


@pytest.fixture
def ended_reader():
    """The write end of a pipe whose reader has ended."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def run(command, output, **options):
    return subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=200, check=False, **options
    )


@pytest.mark.parametrize("arguments", [("config", "--json"), ("config",), ("--help",), ("config", "--help")])
def test_a_reader_that_ends_early_is_no_error(ended_reader, arguments):
    ended = run([*WEIR, *arguments], ended_reader)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_exit_status_is_the_commands_own_if_the_reader_ends(ended_reader, monkeypatch):
    monkeypatch.setenv("WEIR_HTTP__PORT", "99999")
    ended = run([*WEIR, "doctor"], ended_reader)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_closed_standard_error_does_not_change_the_exit_status(ended_reader):
    ended = subprocess.run([*WEIR, "config", "--bad"], stderr=ended_reader, check=False, timeout=200)
    assert ended.returncode == 2


@pytest.mark.parametrize("arguments", [("config", "--json"), ("config",), ("--help",)])
def test_a_full_disk_is_one_line_with_status_1(arguments):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = run([*WEIR, *arguments], full)
    line = "weir: standard output: No space left on device; free space on the disk\n"
    assert (ended.returncode, ended.stderr) == (1, line)


def test_a_command_that_prints_nothing_ends_with_its_reader(ended_reader):
    ended = run([sys.executable, "-c", _FOLLOWING], ended_reader)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ctrl_c_ends_a_command_with_status_130_and_no_traceback():
    ended_by_signal = ["env", "--default-signal=INT"]  # a shell's background job ignores SIGINT
    with subprocess.Popen(
        [*ended_by_signal, *WEIR, "score", "--detector", "repetition"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as scoring:
        scoring.stdin.write("a text\n" * 100)
        scoring.stdin.flush()
        assert scoring.stdout.readline(), "the command has started"
        scoring.send_signal(signal.SIGINT)
        assert scoring.wait(60) == 130
        assert scoring.stderr.read() == ""


def test_scoring_ends_with_its_reader(ended_reader):
    with subprocess.Popen(["yes", "a text"], stdout=subprocess.PIPE) as endless:
        ended = run([*WEIR, "score", "--detector", "repetition"], ended_reader, stdin=endless.stdout)
        endless.kill()
    assert (ended.returncode, ended.stderr) == (0, "")
