"""A real MLflow server in its own process."""

import contextlib
import subprocess
import sys
from pathlib import Path

from support.stack import free_port, until
from weir.local.health.health_probe import probe


@contextlib.contextmanager
def running_mlflow(folder: Path):
    """Run a server with its data in `folder`/mlflow; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "weir.local.mlflow_server", str(folder / "mlflow"), str(port), "168"]
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until("MLflow answers", lambda: probe(f"http://127.0.0.1:{port}/health").ok, 600)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
