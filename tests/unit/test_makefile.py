import subprocess
from pathlib import Path

MAKEFILE = Path(__file__).parents[2] / "Makefile"


def test_make_installs_in_a_folder_with_any_name(tmp_path):
    folder = tmp_path / "Ann's code #2"
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, script in {"uv": 'echo "$VIRTUAL_ENV"', "python": ""}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o700)
    command = ["make", "--no-print-directory", "--file", MAKEFILE, "--eval", "probe: ; @$(UV)", "probe"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{folder}/.venv\n", "")


def test_make_down_installs_nothing(tmp_path):
    """A full disk or a missing network must not keep a stack running, also after an update of the lock files."""
    command = ["make", "--no-print-directory", "--file", MAKEFILE, "--dry-run", "down"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "install " not in done.stdout
    assert ".venv/bin/weir down" in done.stdout
