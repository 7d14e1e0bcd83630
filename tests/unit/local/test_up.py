"""``weir up`` while the stack runs."""

import io

import pytest
from rich.console import Console

from weir.errors import StackError
from weir.local import up
from weir.local.health.health_probe import Health
from weir.local.plan import Component, Plan, save_plan
from weir.local.step_reporter import StepReporter
from weir.settings import load_settings


@pytest.fixture
def running(tmp_path, monkeypatch):
    """The settings of a running, healthy stack of broker and score."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    components = [Component(name=name, argv=[name], address="", health_url="") for name in ("broker", "score")]
    save_plan(
        Plan(home=str(tmp_path), run_dir="/tmp/w", components=components, broker="given", bootstrap="x:1", ports={})
    )
    monkeypatch.setattr(up, "supervisor_runs", lambda _home: True)
    monkeypatch.setattr(up, "probe", lambda _url: Health(ok=True, detail=""))
    return load_settings()


def again(loaded, *only):
    return up.bring_up(loaded, StepReporter(Console(file=io.StringIO())), only)


def test_a_running_stack_is_left_as_it_is(running):
    for only in ((), ("score",)):
        plan, fresh = again(running, *only)
        assert ([component.name for component in plan.components], fresh) == (["broker", "score"], False)


def test_a_component_that_the_running_stack_lacks_is_an_error_that_names_its_components(running):
    with pytest.raises(StackError, match=r"no component foo; it has broker, score\. To start other"):
        again(running, "score", "foo")
