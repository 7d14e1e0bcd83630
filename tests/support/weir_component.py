"""A component as the supervisor starts it: ``python -m weir.component NAME``."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

from weir.home.port_blocks import claim_block
from weir.home.ports import choose_ports


@contextmanager
def weir_component(name, home, settings, **options):
    """Run a component with the variables in `settings`; yield its process and the address of its health and metrics."""
    home.mkdir(exist_ok=True)
    port = choose_ports([name], claim_block(home, 11))[name]
    (home / "ports.json").write_text(json.dumps({name: port}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    environment = clean | {"WEIR_HOME": str(home), "WEIR_MLFLOW__ENABLED": "false"} | settings
    with subprocess.Popen([sys.executable, "-m", "weir.component", name], env=environment, **options) as process:
        try:
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()
