"""Generate supervisord.conf: a program for each component and for the watcher, restarted without a limit."""

import sys
from importlib.resources import files
from pathlib import Path

from weir.local.plan import WATCHER, Plan, log_path

__all__ = ["supervisord_config"]

_TEMPLATES = files("weir.local.supervisord")

# In program.conf: supervisord waits one second longer after each failed start and gives up (FATAL) after startretries; the watcher then starts the
# program again. So the back-off is at most 10 s, and there is no last attempt.
_WATCHER_STOP_SECONDS = 5.0
_FIRST_PRIORITY = 100


def _escaped(value: object) -> str:
    """Return `value` with each ``%`` doubled, because a single ``%`` starts an expansion in supervisord.conf."""
    return str(value).replace("%", "%%")


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
            log=_escaped(_escaped(log_path(home, name))),  # supervisord expands the names of logs twice
            priority=priority,
        )
    return text
