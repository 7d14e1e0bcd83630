"""The command `python -m detectors.train`: its checks before any work, with real files."""

import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from detectors.train import __main__ as command


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the command in a folder with an empty `data`."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)

    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["train", "--data", "data", "--out", "out.safetensors", *arguments])
        return command.main()

    return main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("soup", "--runs", "a.safetensors", "b", "--shares", "1"), "--runs a.safetensors is not a file: name the"),
        (("encoder", "--data", "nowhere"), "--data nowhere is not a folder"),
        (("encoder", "--out", "nowhere/a.safetensors"), "nowhere is not a folder; create it"),
        (("soup",), "soup needs --runs"),
        (("soup", "--runs", "b", "c", "--shares", "1", "1"), "soup needs --runs"),
        (("soup", "--runs", "a", "b"), "soup needs --runs, the earlier weights first, and one of --shares"),
        (("encoder", "--warm", "a.safetensors"), "--warm a.safetensors is not a file: name the file that an earlier"),
        (("linear", "--teacher", "teacher.npy"), "--teacher teacher.npy is not a file"),
        (("teacher", "--weights", "a.safetensors"), "--weights a.safetensors is not a file"),
        (("exit",), "--out out.safetensors is not a file"),
        (("pii", "--steps", "3"), "pii has no option --steps: leave it out; its options: none"),
        (("linear", "--rate", ".1"), "linear has no option --rate: leave it out; its options: --teacher"),
        (("overlap", "--without", "x"), "overlap has no option --without: leave it out; its options: --cases"),
        (("encoder", "--steps", "0"), "--steps 0: a run has at least 1 step"),
        (("encoder",), "davidson.csv.gz'; docs/detectors.md lists the files"),
        (("projection",), "halueval_general.jsonl.gz'; docs/detectors.md lists the files of --data"),
    ],
)
def test_an_error_names_the_option_and_the_fix(run, tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit) as raised:
        run(*arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_soup_writes_the_average_of_the_runs(run, capsys):
    for name, value in (("a", 1.0), ("b", 3.0)):
        save_file({"norm": np.full(2, value, np.float32)}, f"{name}.safetensors")
    assert run("soup", "--runs", "a.safetensors", "b.safetensors", "--shares", "0.5") == 0
    assert load_file("out.safetensors")["norm"].tolist() == [2.0, 2.0]
    assert "wrote out.safetensors, SHA-256 " in capsys.readouterr().out
