"""The processes of a stack create files that only their owner can read, also under a shell's usual umask."""

import contextlib
import os
import runpy
import sys

import pytest
from supervisor import supervisord

from weir.component import components
from weir.local.plan import Plan
from weir.local.prometheus_targets import write_prometheus_targets


@pytest.mark.parametrize("module", ["weir.component", "weir.local.supervisord.run_supervisord"])
def test_a_process_of_the_stack_creates_files_for_its_owner_only(module, tmp_path, monkeypatch):
    def main(*_arguments):
        (tmp_path / "new").write_text("")
        return 0

    monkeypatch.setattr(components, "main", main)
    monkeypatch.setattr(supervisord, "main", main)
    for name in ("stdout", "stderr"):  # supervisord's process replaces them
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.delitem(sys.modules, module, raising=False)
    before_the_test = os.umask(0o022)
    try:
        with contextlib.suppress(SystemExit):
            runpy.run_module(module, run_name="__main__")
    finally:
        os.umask(before_the_test)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_the_targets_of_prometheus_are_for_their_owner_only(tmp_path):
    """Another user cannot enter the home, so a Prometheus of another user could not read a public file either."""
    plan = Plan(home=str(tmp_path), run_dir="", components=[], broker="given", bootstrap="k:1", ports={})
    write_prometheus_targets(tmp_path, plan)
    assert (tmp_path / "prometheus-targets.json").stat().st_mode & 0o777 == 0o600
