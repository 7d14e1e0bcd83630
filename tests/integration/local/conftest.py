"""A real supervisord and watcher with small components, in a separate home and run directory."""

import sys
import time
from pathlib import Path

import pytest

from serving.ray_local.layout import short_run_dir
from weir.home.ports import ensure_ports
from weir.local.plan import Component, Plan, save_plan
from weir.local.preflight import create_home

SERVER = """
import http.server, os, subprocess, sys
health = sys.argv[2]
if "--child" in sys.argv:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(health, "rb").read() if os.path.exists(health) else b""
        self.send_response(503 if body else 200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
print("serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def poll(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return result


def server(home: Path, name: str, port: int, *flags: str, after=(), niceness: int = 0) -> Component:
    script = home / "server.py"
    script.write_text(SERVER)
    return Component(
        name=name,
        argv=[sys.executable, str(script), str(port), str(home / f"{name}.unhealthy"), *flags],
        address=f"http://127.0.0.1:{port}",
        health_url=f"http://127.0.0.1:{port}/healthz",
        after=list(after),
        ready_seconds=30.0,
        stop_seconds=2.0,
        metrics=f"127.0.0.1:{port}",
        niceness=niceness,
    )


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    create_home(path)
    return path


@pytest.fixture
def plan(home):
    ports = ensure_ports(home, ["one", "two"])[0]
    first = server(home, "one", ports["one"], "--child")
    second = server(home, "two", ports["two"], after=["one", "topics"], niceness=3)
    plan = Plan(
        home=str(home),
        run_dir=str(short_run_dir(home)),
        components=[first, second],
        broker="given",
        bootstrap="127.0.0.1:1",
        ports=ports,
    )
    save_plan(plan)
    return plan
