"""Ray on one machine, on loopback except for the endpoint; several stacks can run at once (docs/design/ray-local.md).

For the supervisor::

    layout = RayLayout(short_run_dir(home), ports)     # one port for each of RayLayout.port_names()
    layout.prepare()                                   # before every start, while Ray does not run
    subprocess.Popen(layout.head_command(), env=os.environ | layout.environment())

SIGTERM ends all processes of Ray within one second, SIGKILL within four. The driver (``serving.driver``) runs in a process whose
environment has ``layout.driver_environment()``, because Ray reads its environment at import.
"""

from serving.errors import RayLocalError
from serving.ray_local.layout import RayLayout, short_run_dir
from serving.ray_local.replica_port import keep_replica_on_loopback

__all__ = ["RayLayout", "RayLocalError", "keep_replica_on_loopback", "short_run_dir"]
