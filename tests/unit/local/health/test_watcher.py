"""The watcher on a full disk, with a stub of supervisord."""

import errno
import signal
import time
from types import SimpleNamespace

import pytest

from weir.local.health import watcher
from weir.local.health.watcher import Watcher
from weir.local.plan import Component, Plan, save_plan, state_dir


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


def test_the_watcher_continues_while_the_targets_of_prometheus_cannot_be_written(plan, monkeypatch):
    class Enough(Exception):
        pass

    rounds = []

    def a_round(_watcher):
        rounds.append(1)
        if len(rounds) == 3:
            raise Enough

    monkeypatch.setattr(watcher, "write_prometheus_targets", full)
    monkeypatch.setattr(watcher, "_INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(watcher, "connect", lambda _: None)
    monkeypatch.setattr(Watcher, "round", a_round)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(Enough):
            watcher.main([plan.home])
    finally:
        signal.signal(signal.SIGTERM, before)
