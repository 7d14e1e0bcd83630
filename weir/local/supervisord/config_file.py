"""The configuration of supervisord: one program a component, restarted for ever, and the watcher."""

import sys
from pathlib import Path

from weir.local.plan import Plan

__all__ = ["WATCHER", "supervisord_config"]

WATCHER = "watcher"

_HEAD = """[unix_http_server]
file={socket}
chmod=0600

[supervisord]
nodaemon=true
silent=true
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={state}/supervisord.pid
childlogdir={logs}
umask=077
user={user}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# Delays between failed starts grow by a second to startretries seconds; then supervisord gives up (FATAL) and the watcher,
# which never does, starts the program again: so the back-off is at most 10 s and there is no last attempt.
_PROGRAM = """
[program:{name}]
command={command}
autostart={autostart}
autorestart=true
startsecs=10
startretries=8
stopsignal=TERM
stopwaitsecs={stop}
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
priority={priority}
"""


def _escaped(value: object) -> str:
    """Return `value` for an ini file in which ``%(…)s`` is expanded."""
    return str(value).replace("%", "%%")


def _quoted(value: object) -> str:
    return '"' + _escaped(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def log_path(home: Path, name: str) -> Path:
    """Return the log of a component; the watcher's is the supervisor's own story."""
    return home / "logs" / ("supervisor.log" if name == WATCHER else f"{name}.log")


def supervisord_config(plan: Plan, socket: Path, user: str) -> str:
    """Return the text of ``supervisord.conf``.

    Parameters
    ----------
    plan
        The stack.
    socket
        Where supervisord listens for commands: a unix socket in a directory of this user's alone.
    user
        Who runs it; said explicitly, or supervisord warns a root.
    """
    home = Path(plan.home)
    text = _HEAD.format(
        socket=_escaped(socket), logs=_escaped(home / "logs"), state=_escaped(home / "state"), user=_escaped(user)
    )
    programs = [
        (one.name, ["weir.local.supervisord.launch_component", home, one.name], one.stop_seconds)
        for one in plan.components
    ]
    programs.append((WATCHER, ["weir.local.health.watcher", home], 5.0))
    for place, (name, module, stop) in enumerate(programs):
        text += _PROGRAM.format(
            name=name,
            command=" ".join(map(_quoted, [sys.executable, "-m", *module])),
            autostart="true" if name == WATCHER else "false",
            stop=round(stop),
            log=_escaped(log_path(home, name)),
            priority=100 + place,
        )
    return text
