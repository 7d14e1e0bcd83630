"""Start supervisord for a plan."""

import getpass
import os
import sys
import time
from pathlib import Path

from weir.errors import StackError
from weir.local.plan import Plan, state_dir
from weir.local.processes import HOME_MARK, identity
from weir.local.stack_state import record_supervisor
from weir.local.start_components import log_tail
from weir.local.supervisord.config_file import log_path, supervisord_config
from weir.local.supervisord.rpc_client import Supervisord

__all__ = ["start_supervisord"]

_SUPERVISORD_SECONDS = 20.0


def start_supervisord(plan: Plan, config_path: Path | None) -> Supervisord:
    """Start the supervisord of `plan` in a session of its own, record it, and wait until it answers.

    Parameters
    ----------
    plan
        The stack; it was saved.
    config_path
        The settings file that the components read, or None.

    Raises
    ------
    StackError
        It did not start.
    """
    home, run_dir = Path(plan.home), Path(plan.run_dir)
    socket, config = run_dir / "supervisor.sock", state_dir(home) / "supervisord.conf"
    config.write_text(supervisord_config(plan, socket, getpass.getuser()), encoding="utf-8")
    environment = os.environ | {HOME_MARK: str(home), "WEIR_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    if config_path:
        environment["WEIR_CONFIG"] = str(config_path)
    command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)]
    output = os.open(log_path(home, "supervisord.out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    try:  # no Popen: supervisord outlives whoever started it
        pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    finally:
        os.close(output)
    record_supervisor(home, pid, socket, run_dir)
    deadline = time.monotonic() + _SUPERVISORD_SECONDS
    supervisord = Supervisord(socket)
    while not supervisord.alive():
        if identity(pid) is None or time.monotonic() > deadline:
            raise StackError(f"the supervisor did not start; {log_tail(home, 'supervisord.out')}")
        time.sleep(0.05)
    return supervisord
