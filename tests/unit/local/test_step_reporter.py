import io

import pytest
from rich.console import Console

from weir.local.step_reporter import StepReporter


def test_plain_lines_have_the_step_its_progress_and_its_time():
    out = io.StringIO()
    with StepReporter(Console(file=out, width=200)).steps(2) as steps:
        steps.begin("broker", "waiting for kafka://127.0.0.1:1")
        steps.waiting("broker", "connection refused")  # not printed: less than 10 s after the last line
        steps.ready("broker", "127.0.0.1:1")
    first, second = out.getvalue().splitlines()
    assert first.endswith("s] broker: waiting for kafka://127.0.0.1:1")
    assert second.endswith("s, 127.0.0.1:1 (1 of 2)")
    assert "broker: ready after 0." in second


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("text", ["/data/[prod]/weir", "/data/[/x]/weir", "/data/:robot:/weir"])
def test_square_brackets_and_colons_in_a_path_are_printed(text, terminal):
    out = io.StringIO()
    reporter = StepReporter(Console(file=out, width=200, force_terminal=terminal, color_system=None))
    with reporter.steps(1) as steps:
        steps.begin("broker", f"begins in {text}")
        steps.waiting("broker", f"waits in {text}")
        steps.ready("broker", f"done in {text}")
    reporter.say(f"the stack in {text} is stopped")
    assert f"done in {text}" in out.getvalue()
    assert f"the stack in {text} is stopped" in out.getvalue()
