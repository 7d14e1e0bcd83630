import os
import subprocess
import sys

import pytest

from serving.process_identity import is_running, process_identity
from weir.local.processes import COMPONENT_MARK, HOME_MARK, end_owned_processes, owned_processes


@pytest.fixture
def marked(tmp_path):
    """Return a function that starts a sleeping process with the environment of a home and a component."""
    started = []

    def start(home, component, code="import time; time.sleep(300)"):
        environment = os.environ | {HOME_MARK: str(home), COMPONENT_MARK: component}
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_is_identified_by_pid_and_start_time():
    identity = process_identity(os.getpid())
    assert is_running(os.getpid(), identity)
    assert not is_running(os.getpid(), identity + "0")
    assert not is_running(os.getpid(), "")


def test_a_zombie_is_not_counted_as_running():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity(process.pid) is None
    process.wait()


def test_only_the_processes_of_the_home_and_the_component_are_ended(marked, tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    score, ray, foreign = marked(mine, "score"), marked(mine, "ray"), marked(other, "score")
    assert {process.pid for process in owned_processes(mine)} == {score.pid, ray.pid}
    assert end_owned_processes(mine, "score", grace_seconds=5) == 1
    assert process_identity(score.pid) is None
    assert ray.poll() is None
    assert end_owned_processes(mine) == 1
    assert foreign.poll() is None


def test_a_process_that_ignores_sigterm_is_killed(marked, tmp_path):
    code = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
    )
    stubborn = marked(tmp_path, "x", code)
    assert stubborn.stdout.readline() == b"ready\n"
    assert end_owned_processes(tmp_path, grace_seconds=0.2) == 1
    assert process_identity(stubborn.pid) is None


def test_this_process_and_its_ancestors_are_excluded(tmp_path):
    code = (
        "import os; from pathlib import Path; from weir.local.processes import owned_processes;"
        f"print(len(owned_processes(Path({str(tmp_path)!r}))))"
    )
    environment = os.environ | {HOME_MARK: str(tmp_path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "0\n"
