"""The start of components, with a stub of supervisord and real health checks."""

import http.server
import io
import json
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from weir.errors import StackError
from weir.local import start_components
from weir.local.plan import Component, Plan
from weir.local.start_components import ComponentStarter
from weir.local.step_reporter import StepReporter


@pytest.fixture
def started(tmp_path):
    """Start a component whose health check answers 503 with `reasons`; return the printed text."""

    def start(reasons):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(503)
                self.end_headers()
                self.wfile.write(json.dumps(reasons).encode())

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()
            url = f"http://127.0.0.1:{server.server_port}/healthz"
            bridge = Component(name="bridge", argv=["x"], address="here", health_url=url, ready_seconds=2.5)
            plan = Plan(
                home=str(tmp_path), run_dir="", components=[bridge], broker="given", bootstrap="k:9092", ports={}
            )
            info = SimpleNamespace(pid=1, statename="RUNNING")
            supervisord = SimpleNamespace(start=lambda _: None, processes=lambda: {"bridge": info})
            output = io.StringIO()
            starter = ComponentStarter(
                plan, supervisord, StepReporter(Console(file=output, width=300)), lambda: "created"
            )
            try:
                starter.run()
            finally:
                server.shutdown()
            return output.getvalue()

    return start


def test_an_unreachable_receiver_of_alerts_does_not_prevent_the_start(started, monkeypatch):
    monkeypatch.setattr(start_components, "_RECEIVER_SECONDS", 0.3)
    printed = started({"waiting for alertmanager http://a": "it does not answer (ConnectError); again in 1 s"})
    assert "not healthy yet: waiting for alertmanager http://a: it does not answer" in printed


@pytest.mark.parametrize("problem", ["disk", "waiting for kafka"])
def test_another_problem_ends_the_start_at_the_limit(started, monkeypatch, problem):
    monkeypatch.setattr(start_components, "_RECEIVER_SECONDS", 0.3)
    with pytest.raises(StackError, match=rf"bridge was not ready within 2 s \({problem}: full\)"):
        started({problem: "full"})
