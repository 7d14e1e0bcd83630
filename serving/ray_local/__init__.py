"""Ray on one machine, on loopback except for the endpoint; several stacks can run at once (docs/design/ray-local.md).

For the supervisor::

    layout = RayLayout(short_run_dir(home), ports)     # one port for each of PORT_NAMES
    layout.prepare()                                   # before every start, while Ray does not run
    subprocess.Popen(layout.head_command(), env=os.environ | layout.environment())

SIGTERM ends all processes of Ray within one second, SIGKILL within four. The driver (``serving.driver``) runs in a process whose
environment has ``layout.driver_environment()``, because Ray reads its environment at import.
"""
