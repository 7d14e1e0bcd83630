import io

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
