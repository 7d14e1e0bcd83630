"""Generate supervisord.conf: a program for each component and for the watcher, restarted without a limit."""

import sys
from pathlib import Path

from weir.local.plan import WATCHER, Plan, log_path

__all__ = ["supervisord_config"]

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

# supervisord waits one second longer after each failed start and gives up (FATAL) after startretries; the watcher then starts the
# program again. So the back-off is at most 10 s, and there is no last attempt.
_WATCHER_STOP_SECONDS = 5.0
_FIRST_PRIORITY = 100
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
    """Return `value` with ``%%`` for ``%``, which starts an expansion in supervisord.conf."""
    return str(value).replace("%", "%%")


def _quoted(value: object) -> str:
    return '"' + _escaped(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def supervisord_config(plan: Plan, socket: Path, user: str) -> str:
    """Return the text of ``supervisord.conf``; without `user`, supervisord logs a warning if root starts it."""
    home = Path(plan.home)
    text = _HEAD.format(
        socket=_escaped(socket), logs=_escaped(home / "logs"), state=_escaped(home / "state"), user=_escaped(user)
    )
    launcher = "weir.local.supervisord.launch_component"
    programs = [(item.name, [launcher, home, item.name], item.stop_seconds) for item in plan.components]
    programs.append((WATCHER, ["weir.local.health.watcher", home], _WATCHER_STOP_SECONDS))
    for priority, (name, module, stop) in enumerate(programs, _FIRST_PRIORITY):
        text += _PROGRAM.format(
            name=name,
            command=" ".join(map(_quoted, [sys.executable, "-m", *module])),
            autostart="true" if name == WATCHER else "false",
            stop=round(stop),
            log=_escaped(log_path(home, name)),
            priority=priority,
        )
    return text
