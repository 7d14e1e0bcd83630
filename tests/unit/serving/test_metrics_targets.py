import os
import subprocess
import sys

import msgspec
import pytest

from serving.metrics_targets import MetricsTarget, list_targets, register_target


def target(name, pid):
    return MetricsTarget(name=name, component="model", address="127.0.0.1:1", pid=pid)


@pytest.fixture
def ended():
    """The pid of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_the_targets_of_running_processes_are_listed(tmp_path, ended):
    register_target(tmp_path, target("b", os.getpid()))
    register_target(tmp_path, target("a", os.getppid()))
    register_target(tmp_path, target("c", ended))
    assert [one.name for one in list_targets(tmp_path)] == ["a", "b"]


def test_a_process_with_the_pid_of_an_ended_process_is_no_target(tmp_path):
    """A container that was killed keeps its home; in its next start, other processes have the same pids."""
    register_target(tmp_path, target("model-x", os.getpid()))
    path = tmp_path / "model-x.json"
    (before,) = list_targets(tmp_path)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(before, identity="another boot:1")))
    assert list_targets(tmp_path) == []
    register_target(tmp_path, target("model-y", os.getpid()))
    assert not path.exists()


def test_a_file_of_an_earlier_version_is_no_target(tmp_path):
    earlier = {"name": "old", "component": "model", "address": "127.0.0.1:1", "pid": os.getpid()}
    (tmp_path / "old.json").write_bytes(msgspec.json.encode(earlier))
    assert list_targets(tmp_path) == []
