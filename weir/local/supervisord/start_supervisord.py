"""Start supervisord for a plan, as a process that outlives the command that started it.

``supervisord.conf`` has a program for each component and for the watcher, restarted without a limit.
"""

import os
import re
import sys
import time
from importlib.resources import files
from pathlib import Path

from serving.process_identity import process_identity
from stream.files import replace_file
from weir.errors import StackError
from weir.home.ports import no_proxy
from weir.local.log_tail import log_excerpt
from weir.local.plan import WATCHER, Plan, log_path, state_dir
from weir.local.processes import HOME_MARK
from weir.local.stack_state import save_supervisor
from weir.local.supervisord.rpc_client import Supervisord

_START_SECONDS = 20.0
_POLL_SECONDS = 0.05
_TEMPLATES = files("weir.local.supervisord")

#: supervisord waits one second longer after each failed start and gives up (FATAL) after this many; the watcher then starts the program again. So the
#: back-off of a component is at most 10 s, and there is no last attempt. Nothing starts the watcher again, so supervisord must not give up.
_START_RETRIES, _WATCHER_START_RETRIES = 8, 1_000_000
_WATCHER_STOP_SECONDS = 5.0
_FIRST_PRIORITY = 100


def _escaped(value: object) -> str:
    """Return `value` for supervisord.conf, where a single ``%`` starts an expansion, and ``#`` or ``;`` after a space a comment.

    Between the space and this character is an expansion of no characters.
    """
    return re.sub(r"(?<=\s)(?=[#;])", "%(here).0s", str(value).replace("%", "%%"))


def _quoted(value: object) -> str:
    return '"' + _escaped(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def supervisord_config(plan: Plan, socket: Path) -> str:
    """Return the text of ``supervisord.conf``."""
    home = Path(plan.home)
    head, program = ((_TEMPLATES / name).read_text(encoding="ascii") for name in ("head.conf", "program.conf"))
    places = {"socket": socket, "logs": home / "logs", "state": home / "state"}
    text = head.format_map({name: _escaped(value) for name, value in places.items()})
    launcher = "weir.local.supervisord.launch_component"
    programs = [(item.name, [launcher, home, item.name], item.stop_seconds) for item in plan.components]
    programs.append((WATCHER, ["weir.local.health.watcher", home], _WATCHER_STOP_SECONDS))
    for priority, (name, module, stop) in enumerate(programs, _FIRST_PRIORITY):
        text += "\n" + program.format(
            name=name,
            command=" ".join(map(_quoted, [sys.executable, "-m", *module])),
            autostart="true" if name == WATCHER else "false",
            stop=round(stop),
            retries=_WATCHER_START_RETRIES if name == WATCHER else _START_RETRIES,
            log=_escaped(_escaped(log_path(home, name))),  # supervisord expands the names of logs twice
            priority=priority,
        )
    return text


def start_supervisord(plan: Plan, config_path: Path | None) -> Supervisord:
    """Start supervisord for the saved `plan` and wait until it answers; raises StackError after 20 s.

    The components read the settings file `config_path`, if there is one.
    """
    home, run_dir = Path(plan.home), Path(plan.run_dir)
    socket, config = run_dir / "supervisor.sock", state_dir(home) / "supervisord.conf"
    replace_file(config, supervisord_config(plan, socket))
    environment = os.environ | {HOME_MARK: str(home), "WEIR_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    environment.pop("WEIR_HOME_FILE", None)  # WEIR_HOME has its value, and both together are an error
    # Some container images set this variable. Without bytecode files, each process compiles its libraries again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if config_path:
        environment["WEIR_CONFIG"] = str(config_path)
    environment |= dict.fromkeys(("NO_PROXY", "no_proxy"), no_proxy(environment))
    command = [sys.executable, "-m", "weir.local.supervisord.run_supervisord", "-n", "-c", str(config)]
    output = os.open(log_path(home, "supervisord.out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    try:  # not Popen, which warns when supervisord outlives it
        pid = os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    finally:
        os.close(output)
    save_supervisor(home, pid, socket)
    deadline = time.monotonic() + _START_SECONDS
    supervisord = Supervisord(socket)
    while not supervisord.alive():
        if process_identity(pid) is None or time.monotonic() > deadline:
            raise StackError(f"supervisord did not start; {log_excerpt(home, 'supervisord.out')}")
        time.sleep(_POLL_SECONDS)
    return supervisord
