"""What a stack consists of, as data: written once by ``weir up``, read by the launcher, the watcher and ``weir status``."""

from pathlib import Path
from typing import Any

import msgspec

from stream.files import replace_file
from weir.errors import StackError

__all__ = ["Component", "Plan", "load_plan", "plan_path", "save_plan", "state_dir"]


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the stack.

    Parameters
    ----------
    name
        ``broker``, ``mlflow``, ``ray``, ``serve``, ``shipper``, ``score``, ``watch``, ``ledger``, ``bridge``, ``sentinel`` or
        ``intake``.
    argv, environment
        The command, and what it needs beside the stack's own environment.
    address
        Where a person or a client finds it.
    health_url
        Asked by the watcher: ``http://…/healthz``, ``kafka://host:port`` or ``tcp://host:port``.
    after
        Components, or the step ``topics``, that must be ready before the first start.
    ready_seconds
        The longest that a start may take; until then a silent process is not a hung one.
    stop_seconds
        Between SIGTERM and SIGKILL.
    metrics
        ``host:port`` of its Prometheus text, or "".
    niceness
        Of its processes, 0 to 19: where the cores are taken, serving goes before what watches it.
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
    """A stack.

    Parameters
    ----------
    home, run_dir
        Where it writes, and its short directory for sockets.
    components
        In the order of their start.
    broker
        ``given``, ``apache`` or ``embedded``.
    bootstrap
        Kafka's address.
    ports
        Every port by name.
    http
        ``[http]``, which the edge enforces.
    """

    home: str
    run_dir: str
    components: list[Component]
    broker: str
    bootstrap: str
    ports: dict[str, int]
    http: dict[str, Any] = {}

    def component(self, name: str) -> Component:
        """Return the component `name`; raises StackError where the stack has none."""
        found = next((one for one in self.components if one.name == name), None)
        if found is None:
            known = ", ".join(one.name for one in self.components)
            raise StackError(f"this stack has no component {name!r}; it has {known}")
        return found


def state_dir(home: Path) -> Path:
    """Return the directory of what the supervisor keeps."""
    return home / "state"


def plan_path(home: Path) -> Path:
    """Return the file that :func:`save_plan` writes."""
    return state_dir(home) / "plan.json"


def save_plan(plan: Plan) -> None:
    """Write the plan in one step, for its owner alone."""
    path = plan_path(Path(plan.home))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, msgspec.json.format(msgspec.json.encode(plan), indent=1))


def load_plan(home: Path) -> Plan:
    """Return the plan of the stack in `home`.

    Raises
    ------
    StackError
        No stack was ever started there, or the file is damaged.
    """
    path = plan_path(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except FileNotFoundError:
        raise StackError(f"no stack was started in {home}; run `weir up`, or set WEIR_HOME") from None
    except msgspec.DecodeError as error:
        raise StackError(f"{path} is damaged ({error}); `weir down`, then `weir up` writes it anew") from None
