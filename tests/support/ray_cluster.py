"""A test's own Ray cluster, with its own ports, folder and token: one node, two CPUs, loopback only."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from serving.ray_local.layout import PORT_NAMES, RayLayout, short_run_dir
from support.stack import until
from weir.home.ports import ensure_ports

#: Ray aborts a start after 30 s, and a busy machine may need longer.
_STARTS = 4


@contextlib.contextmanager
def ray_cluster(home: Path) -> Iterator[RayLayout]:
    """Start a cluster, and end all of its processes afterwards; a driver needs ``layout.driver_environment()``."""
    ports, _ = ensure_ports(home, PORT_NAMES)
    layout = RayLayout(short_run_dir(home), ports)
    head = _started(layout, home / "ray.log")
    try:
        yield layout
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)
        shutil.rmtree(layout.run_dir)


def _started(layout: RayLayout, log: Path) -> subprocess.Popen[bytes]:
    for _ in range(_STARTS):
        layout.prepare()
        environment = os.environ | layout.environment()
        with log.open("wb") as out:
            head = subprocess.Popen(layout.head_command(), env=environment, stdout=out, stderr=out)
        until("Ray starts", lambda head=head: "Ray runtime started" in log.read_text() or head.poll() is not None, 180)
        if head.poll() is None:
            return head
    raise AssertionError(log.read_text())
