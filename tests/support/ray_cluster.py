"""A Ray cluster of a test's own, with its own ports, folder and token: one node, two CPUs, loopback only."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from serving.ray_local import RayLayout, short_run_dir
from support.stack import until
from weir.home.ports import ensure_ports


@contextlib.contextmanager
def ray_cluster(home: Path) -> Iterator[RayLayout]:
    """Start a cluster, and end all of its processes afterwards; a driver needs ``layout.driver_environment()``."""
    layout = RayLayout(short_run_dir(home), ensure_ports(home, RayLayout.port_names()))
    layout.prepare()
    with (home / "ray.log").open("wb") as log:
        head = subprocess.Popen(
            layout.head_command(), env=os.environ | layout.environment(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        until("Ray starts", lambda: "Ray runtime started" in (home / "ray.log").read_text() or head.poll(), 120)
        assert head.poll() is None, (home / "ray.log").read_text()
        yield layout
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)
        shutil.rmtree(layout.run_dir)
