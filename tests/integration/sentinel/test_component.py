"""The component as the supervisor starts it: its own key, its settings, its metrics, and an end when it is asked to."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from support.flood import gateway

from weir.home.api_keys import own_key_path
from weir.home.port_blocks import claim_block
from weir.home.ports import choose_ports


def _started(home, url):
    port = choose_ports(["sentinel"], claim_block(home, 7))["sentinel"]
    (home / "ports.json").write_text(json.dumps({"sentinel": port}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    settings = {
        "WEIR_HOME": str(home),
        "WEIR_HTTP__PORT": url.rpartition(":")[2],
        "WEIR_MODEL__NAME": "echo",
        "WEIR_MLFLOW__ENABLED": "false",
        "WEIR_SENTINEL__ENABLED": "true",
        "WEIR_SENTINEL__EVERY_SECONDS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "weir.component", "sentinel"], env=clean | settings, cwd=Path.cwd()
    )
    return process, f"http://127.0.0.1:{port}"


def _answered(metrics):
    lines = [
        line for line in metrics.splitlines() if line.startswith('weir_sentinel_requests_total{outcome="answered"}')
    ]
    return float(lines[0].split()[-1]) if lines else 0.0


@pytest.mark.timeout(180)
def test_the_component_sends_prompts_until_sigterm(tmp_path):
    with gateway(tmp_path) as (_, url):
        process, address = _started(tmp_path, url)
        try:
            deadline, answered = time.monotonic() + 120, 0.0
            while answered < 2:
                assert process.poll() is None
                assert time.monotonic() < deadline, "no two answers within 120 s"
                time.sleep(0.2)
                try:
                    answered = _answered(httpx.get(f"{address}/metrics", timeout=5).text)
                except httpx.HTTPError:
                    continue
            assert httpx.get(f"{address}/healthz", timeout=5).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    assert own_key_path(tmp_path).exists()
