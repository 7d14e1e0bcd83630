"""The watcher on a full disk, with a supervisord that refuses a request, and with invalid settings; supervisord is a stub."""

import errno
import fcntl
import os
import signal
import time
from types import SimpleNamespace

import msgspec
import pytest

from weir.errors import StackError
from weir.home.port_blocks import blocks_directory
from weir.local.health import watcher
from weir.local.health.watcher import Watcher
from weir.local.plan import Component, Plan, save_plan, state_dir, topics_pending


def full(*_arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def plan(tmp_path):
    state_dir(tmp_path).mkdir()
    component = Component(name="one", argv=["x"], address="", health_url="tcp://127.0.0.1:1")
    made = Plan(home=str(tmp_path), run_dir="", components=[component], broker="given", bootstrap="k:1", ports={})
    save_plan(made)
    return made


def test_a_component_is_started_while_the_state_cannot_be_written(plan, monkeypatch):
    monkeypatch.setattr(watcher, "save_components", full)
    info = SimpleNamespace(name="one", pid=0, statename="EXITED", start=int(time.time()))
    started = []
    supervisord = SimpleNamespace(processes=lambda: {"one": info}, start=started.append)
    for _ in range(2):
        Watcher(plan, supervisord).round()
    assert started == ["one", "one"]


def test_a_component_that_supervisord_cannot_start_does_not_end_the_watcher(plan, capsys):
    """supervisord refuses a start with SPAWN_ERROR if the machine has no memory for another process."""
    first, second = plan.components[0], msgspec.structs.replace(plan.components[0], name="two")
    infos = {
        name: SimpleNamespace(name=name, pid=0, statename="EXITED", start=int(time.time())) for name in ("one", "two")
    }
    started = []

    def start(name):
        if name == "one":
            raise StackError("supervisord refused: SPAWN_ERROR: one")
        started.append(name)

    supervisord = SimpleNamespace(processes=lambda: infos, start=start)
    watching = Watcher(msgspec.structs.replace(plan, components=[first, second]), supervisord)
    watching.round()
    watching.round()
    assert started == ["two", "two"]
    assert capsys.readouterr().out.count("one: supervisord refused: SPAWN_ERROR: one; retrying") == 1


def test_a_refused_stop_of_a_hung_component_is_tried_again(plan, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(watcher.time, "monotonic", lambda: next(clock))
    info = SimpleNamespace(name="one", pid=1, statename="RUNNING", start=1)
    stops = []

    def stop(name):
        stops.append(name)
        if len(stops) == 1:
            raise StackError("supervisord refused")

    component = msgspec.structs.replace(plan.components[0], ready_seconds=0)
    plan = msgspec.structs.replace(plan, components=[component])
    watching = Watcher(plan, SimpleNamespace(processes=lambda: {"one": info}, stop=stop))
    monkeypatch.setattr(
        watching, "_probe", lambda _: watcher.Health(ok=False, hung=True, detail="http://one does not answer")
    )
    for _ in range(8):
        watching.round()
    assert stops == ["one", "one"]


def test_a_corrected_wall_clock_does_not_stop_a_component_that_still_loads(plan, monkeypatch):
    """A machine that boots with a wrong clock corrects it while the models load; supervisord's start time is by that clock."""
    seconds = iter(range(0, 10_000, 2))
    monkeypatch.setattr(watcher.time, "monotonic", lambda: next(seconds))
    info = SimpleNamespace(name="one", pid=1, statename="RUNNING", start=int(time.time()) - 3600)
    stopped = []
    watching = Watcher(plan, SimpleNamespace(processes=lambda: {"one": info}, stop=stopped.append))
    monkeypatch.setattr(watching, "_probe", lambda _: watcher.Health(ok=False, hung=True, detail="does not answer"))
    for _ in range(60):
        watching.round()
    assert stopped == []


@pytest.mark.parametrize(
    ("broker", "stops"),
    [
        ({"pid": 2, "statename": "RUNNING"}, 0),
        ({"pid": 0, "statename": "BACKOFF"}, 0),
        ({"pid": 0, "statename": "FATAL"}, 0),
        (None, 1),
    ],
)
def test_an_unhealthy_component_is_not_stopped_while_the_broker_of_the_stack_is_down(plan, monkeypatch, broker, stops):
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr(watcher.time, "monotonic", lambda: next(clock))
    infos = {"one": SimpleNamespace(name="one", pid=1, statename="RUNNING", start=1)}
    if broker is not None:
        infos["broker"] = SimpleNamespace(name="broker", start=int(time.time()), **broker)
    parts = [msgspec.structs.replace(plan.components[0], name=name, ready_seconds=1e9) for name in infos]
    parts[0] = msgspec.structs.replace(parts[0], ready_seconds=0)
    stopped = []
    supervisord = SimpleNamespace(processes=lambda: infos, stop=stopped.append, start=lambda _: None)
    watching = Watcher(msgspec.structs.replace(plan, components=parts), supervisord)
    monkeypatch.setattr(
        watching, "_probe", lambda _: watcher.Health(ok=False, detail="consumer: no partitions assigned yet")
    )
    for _ in range(150):
        watching.round()
    assert stopped == ["one"] * stops


def test_invalid_settings_do_not_end_the_watcher_while_topics_are_pending(plan, monkeypatch, tmp_path, capsys):
    topics_pending(tmp_path).touch()
    (tmp_path / "weir.toml").write_text("[score\n")
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    monkeypatch.setattr(watcher, "_ROUNDS_PER_REFRESH", 2)
    _watch(plan, monkeypatch, rounds=6)
    out = capsys.readouterr().out
    assert out.count("the missing topics are created once the settings are valid: ") == 1
    assert "weir.toml is not TOML" in out
    assert topics_pending(tmp_path).exists()


def test_the_watcher_continues_while_the_targets_of_prometheus_cannot_be_written(plan, monkeypatch):
    monkeypatch.setattr(watcher, "write_prometheus_targets", full)
    _watch(plan, monkeypatch, rounds=3)


def test_the_watcher_locks_the_folders_of_the_stack_in_tmp_until_it_ends(plan, monkeypatch, tmp_path):
    """systemd-tmpfiles deletes old files in ``/tmp``, except in a folder on which another process has a lock."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (run_dir := tmp_path / "run").mkdir()
    save_plan(msgspec.structs.replace(plan, run_dir=str(run_dir)))
    folders = (run_dir, blocks_directory())
    _watch(plan, monkeypatch, rounds=1, during=lambda: [locked(folder) for folder in folders] == [True, True])
    assert [locked(folder) for folder in folders] == [False, False]


def locked(folder):
    """Return whether systemd-tmpfiles would skip `folder`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _watch(plan, monkeypatch, *, rounds, during=lambda: True):
    """Run the watcher until its round number `rounds`; `during` must be true in each round."""

    class Enough(Exception):
        pass

    done = []

    def a_round(_watcher):
        done.append(1)
        assert during()
        if len(done) == rounds:
            raise Enough

    monkeypatch.setattr(watcher, "_INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(watcher, "connect", lambda _: None)
    monkeypatch.setattr(Watcher, "round", a_round)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(Enough):
            watcher.main([plan.home])
    finally:
        signal.signal(signal.SIGTERM, before)
