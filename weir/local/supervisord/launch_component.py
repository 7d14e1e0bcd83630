"""What supervisord runs for every component: it clears what the last run left, prepares, then becomes the component.

``python -m weir.local.supervisord.launch_component HOME NAME``. It keeps its pid through ``exec``, so that supervisord watches the component
itself, and it asks the kernel for SIGKILL when supervisord dies (PR_SET_PDEATHSIG outlives ``exec``).
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from weir.local.plan import Plan, load_plan
from weir.local.processes import COMPONENT_MARK, sweep

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def main(argv: list[str]) -> None:
    """Become the component named in `argv`."""
    home, name = Path(argv[0]), argv[1]
    _die_with_parent()
    plan = load_plan(home)
    component = plan.component(name)
    left = sweep(home, name, grace_seconds=2.0)
    if left:
        print(f"ended {left} processes that an earlier {name} had left", flush=True)  # noqa: T201 - into its own log
    if name == "ray":
        _prepare_ray(plan)
    os.nice(component.niceness)
    # Threads of a model that wait for each other sleep: on shared cores they spun a quarter of the replica's time away.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.update(component.environment)
    os.environ[COMPONENT_MARK] = name
    os.execvp(component.argv[0], component.argv)  # noqa: S606 - no shell is wanted


def _prepare_ray(plan: Plan) -> None:
    # The other components do not need them.
    from serving.settings import HttpSettings  # noqa: PLC0415
    from weir.local.ray_ports import ray_layout  # noqa: PLC0415

    ray_layout(Path(plan.run_dir), plan.ports, HttpSettings(**plan.http)).prepare()


if __name__ == "__main__":
    main(sys.argv[1:])
