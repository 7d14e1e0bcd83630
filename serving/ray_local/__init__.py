"""Ray on one machine, on loopback alone, several stacks side by side (ray-local.md).

For the supervisor::

    layout = RayLayout(short_run_dir(home), ports)     # ports: one for each of RayLayout.port_names()
    layout.prepare()                                   # before every start, while it does not run
    subprocess.Popen(layout.head_command(), env=os.environ | layout.environment())

SIGTERM ends everything within a second, SIGKILL within four. The driver (``serving.driver``) runs in a process whose
environment has ``layout.driver_environment()``: Ray reads it at import.
"""

from serving.ray_local.errors import RayLocalError
from serving.ray_local.layout import RayLayout, short_run_dir
from serving.ray_local.replica_port import keep_replica_on_loopback

__all__ = ["RayLayout", "RayLocalError", "keep_replica_on_loopback", "short_run_dir"]
