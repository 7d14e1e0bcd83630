"""The plan of a stack: its components, written by ``weir up`` and read by every process that starts or watches them."""

from pathlib import Path
from typing import Any

import msgspec

from stream.files import write_json
from weir.errors import StackError
from weir.home.ports import not_started

#: The program of supervisord that checks the components' health.
WATCHER = "watcher"


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the stack.

    `health_url` is ``http://…/healthz``, ``kafka://host:port`` or ``tcp://host:port``. Components (or the step ``topics``) in `after`
    must be ready before this component first starts. In the first `ready_seconds`, a process that does not answer does not count as hung.
    `stop_seconds` is the time from SIGTERM to SIGKILL. `metrics` is ``host:port`` or "". `niceness` (0 to 19) is lower for serving than for monitoring.
    """

    name: str
    argv: list[str]
    environment: dict[str, str] = {}
    address: str
    health_url: str
    after: list[str] = []
    ready_seconds: float = 120.0
    stop_seconds: float = 10.0
    metrics: str = ""
    niceness: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a stack; its components are in start order.

    `run_dir` contains sockets; its path is short, because the length of a socket's path is limited. `broker` is
    ``given``, ``apache`` or ``embedded``. `http` is the settings section ``[http]`` for HAProxy: its
    `max_body_bytes` is the limit of the largest bodies that the gateway accepts. `settings` are those of the start, by dotted key,
    with masked secrets; {} in the plan of an earlier version.
    """

    home: str
    run_dir: str
    components: list[Component]
    broker: str
    bootstrap: str
    ports: dict[str, int]
    http: dict[str, Any] = {}
    settings: dict[str, Any] = {}

    @property
    def kafka(self) -> str:
        """Address and kind of the broker of these components; "elsewhere" if none of them runs or uses one."""
        runs = any(component.name == "broker" for component in self.components)
        return f"{self.bootstrap} ({self.broker})" if runs or self.broker == "given" else "elsewhere"

    def component(self, name: str) -> Component:
        """Return the component `name`; raises StackError if there is none."""
        for component in self.components:
            if component.name == name:
                return component
        known = ", ".join(component.name for component in self.components)
        raise StackError(f"this stack has no component {name!r}; it has {known}")


def state_dir(home: Path) -> Path:
    """Return the directory of the plan and of the supervisor's state."""
    return home / "state"


def log_path(home: Path, name: str) -> Path:
    """Return the log file of a component; the watcher's log is ``supervisor.log``."""
    return home / "logs" / ("supervisor.log" if name == WATCHER else f"{name}.log")


def topics_pending(home: Path) -> Path:
    """Return the marker file that exists if topics were not created at the start, because Kafka did not answer."""
    return state_dir(home) / "topics-pending"


def plan_path(home: Path) -> Path:
    """Return the file that :func:`save_plan` writes."""
    return state_dir(home) / "plan.json"


def save_plan(plan: Plan) -> None:
    """Write the plan to a file that only its owner can read."""
    path = plan_path(Path(plan.home))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(path, plan)


def load_plan(home: Path) -> Plan:
    """Return the plan of the stack in `home`; raises StackError if no stack was started there or the file is damaged."""
    path = plan_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except FileNotFoundError:
        raise not_started(home) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StackError(
            f"{path} is damaged ({error}); run `weir down`, then `weir up`, which writes it again"
        ) from None
