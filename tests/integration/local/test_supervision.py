import io
import os
import signal
import stat
from pathlib import Path

import msgspec
import psutil
import pytest
from rich.console import Console

from serving.process_identity import process_identity as identity
from weir.errors import StackError
from weir.local.down import clear_leftovers, take_down
from weir.local.plan import WATCHER, log_path, save_plan
from weir.local.processes import owned_processes
from weir.local.stack_state import load_components, load_supervisor, supervisor_runs
from weir.local.start_components import ComponentStarter
from weir.local.step_reporter import StepReporter
from weir.local.supervisord.rpc_client import connect
from weir.local.supervisord.start_supervisord import start_supervisord
from weir.local.up import follow_log, unhealthy_components

from .conftest import SERVER, poll


def reporter() -> StepReporter:
    return StepReporter(Console(file=io.StringIO(), width=200))


def start(plan, report=None):
    supervisord = start_supervisord(plan, None)
    with (report or reporter()).steps(3) as steps:
        ComponentStarter(plan, supervisord, steps, lambda: "all there").run()
    return supervisord


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch):
    """With the default of 8, supervisord gives up after 36 s."""
    monkeypatch.setattr("weir.local.supervisord.start_supervisord._START_RETRIES", 2)


@pytest.fixture
def stack(plan, home):
    start(plan)
    poll(lambda: len(load_components(home)) == 2)
    yield plan
    take_down(home, reporter())
    assert owned_processes(home) == []


def log(home: Path) -> str:
    path = log_path(home, WATCHER)
    return path.read_text() if path.exists() else ""


def pid_of(home: Path, name: str) -> int:
    return next((one.pid for one in load_components(home) if one.name == name and one.running), 0)


def test_components_start_in_order_with_their_priority_as_the_user_of_the_process(plan, home, tmp_path, monkeypatch):
    """`su` without `-` keeps LOGNAME; a container may run with a user id that has no name."""
    for name in ("LOGNAME", "USER"):
        monkeypatch.setenv(name, "root" if os.getuid() else "nobody")
    report = reporter()
    try:
        start(plan, report)
        output = report.console.file.getvalue()
        assert unhealthy_components(plan) == []
        order = [output.index(text) for text in ("one: waiting for", "one: ready", "two: waiting for", "two: ready")]
        assert order == sorted(order)
        assert "(3 of 3)" in output
        poll(lambda: len(load_components(home)) == 2)
        serving, watching = (psutil.Process(pid_of(home, name)) for name in ("one", "two"))
        assert watching.nice() == min(19, serving.nice() + 3)
        supervisord = psutil.Process(load_supervisor(home).pid)
        assert {one.uids().real for one in (supervisord, serving)} == {os.getuid()}
        socket = Path(load_supervisor(home).socket)
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        clear_leftovers(tmp_path / "other")
        assert unhealthy_components(plan) == [], "the end of the processes of another home ended a process of this home"
    finally:
        take_down(home, reporter())


def test_down_ends_every_process_a_daemonised_child_and_weir_up_without_an_error(stack, home):
    assert len(owned_processes(home)) >= 5  # supervisord, watcher, two servers, and the child in a separate session
    assert take_down(home, reporter())
    assert owned_processes(home) == []
    assert not supervisor_runs(home)
    assert not Path(stack.run_dir).exists()
    assert load_components(home) == []
    assert not take_down(home, reporter())
    report = reporter()
    follow_log(stack, report)
    assert "the stack was stopped" in report.console.file.getvalue()


def test_a_killed_component_is_restarted_and_logged(stack, home):
    before = poll(lambda: pid_of(home, "one"))
    children = psutil.Process(before).children(recursive=True)
    os.kill(before, signal.SIGKILL)
    after = poll(lambda: (pid := pid_of(home, "one")) != before and pid)
    poll(lambda: unhealthy_components(stack) == [])
    state = next(one for one in load_components(home) if one.name == "one")
    assert (state.pid, state.restarts) == (after, 1)
    assert "one died (terminated by SIGKILL)" in log(home)
    assert f"one was started again (pid {after}, restart 1)" in log(home)
    poll(lambda: not any(child.is_running() for child in children))  # supervision ended the child of the killed process


def test_a_hung_component_is_restarted(stack, home):
    before = poll(lambda: pid_of(home, "two"))
    os.kill(before, signal.SIGSTOP)
    after = poll(lambda: (pid := pid_of(home, "two")) not in {0, before} and pid, 90)
    poll(lambda: unhealthy_components(stack) == [])
    assert identity(before) is None
    assert f"two (pid {before}) hangs" in log(home)
    assert f"two was started again (pid {after}" in log(home)


def test_a_waiting_component_is_not_restarted(stack, home):
    before = poll(lambda: pid_of(home, "two"))
    (home / "two.unhealthy").write_text('{"waiting for kafka": "127.0.0.1:1 does not answer"}')
    poll(lambda: "two is not healthy: waiting for kafka" in log(home))
    (home / "two.unhealthy").unlink()
    poll(lambda: "two is healthy again" in log(home))
    assert pid_of(home, "two") == before


def test_components_end_with_supervisord_and_the_next_start_ends_the_remaining_processes(stack, home):
    record = load_supervisor(home)
    mains = [poll(lambda name=name: pid_of(home, name)) for name in ("one", "two")]
    os.kill(record.pid, signal.SIGKILL)
    poll(lambda: all(identity(pid) is None for pid in mains))
    assert not supervisor_runs(home)
    with pytest.raises(StackError, match=r"no stack runs in .*weir up"):
        connect(home)
    assert clear_leftovers(home) >= 1  # the daemonised child
    assert owned_processes(home) == []
    save_plan(stack)
    Path(stack.run_dir).mkdir(mode=0o700)
    start(stack)
    assert unhealthy_components(stack) == []


def test_weir_up_fails_if_supervisord_ends_by_itself(stack, home):
    os.kill(load_supervisor(home).pid, signal.SIGKILL)
    with pytest.raises(StackError, match=r"supervisord of the stack in .*ended by itself.*weir up"):
        follow_log(stack, reporter())
    assert owned_processes(home) == []  # the daemonised child too


def test_a_component_that_cannot_start_is_an_error_with_the_end_of_its_log(plan, home):
    broken = [*plan.components[0].argv[:1], "-c", "raise SystemExit('the reason')"]
    bad = msgspec.structs.replace(
        plan, components=[msgspec.structs.replace(plan.components[0], argv=broken), plan.components[1]]
    )
    save_plan(bad)
    try:
        with pytest.raises(StackError, match=r"(?s)one does not start; its log, .*one.log, ends:.*the reason"):
            start(bad)
    finally:
        take_down(home, reporter())


def test_a_failing_component_is_restarted_without_end_with_a_bounded_delay(stack, home):
    (home / "server.py").write_text("raise SystemExit('broken for a while')")
    os.kill(poll(lambda: pid_of(home, "two")), signal.SIGKILL)
    poll(lambda: connect(home).processes()["two"].statename == "FATAL", 90)
    (home / "server.py").write_text(SERVER)
    poll(lambda: unhealthy_components(stack) == [], 30)
    poll(lambda: "two keeps failing at its start; retrying" in log(home))
