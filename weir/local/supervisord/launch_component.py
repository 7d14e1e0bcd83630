"""Start a component: end the remaining processes of its last run, then ``exec`` the component's command.

supervisord runs ``python -m weir.local.supervisord.launch_component HOME NAME``. ``exec`` keeps the pid, so supervisord supervises
the component itself. The kernel kills the component when supervisord dies (PR_SET_PDEATHSIG survives ``exec``).
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from stream.count_text import count_text
from weir.local.plan import Plan, load_plan
from weir.local.processes import COMPONENT_MARK, end_owned_processes

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 2.0


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # supervisord died before the request
        os._exit(1)


def main(argv: list[str]) -> None:
    """Replace this process by the component that `argv` names."""
    home, name = Path(argv[0]), argv[1]
    _die_with_parent()
    plan = load_plan(home)
    component = plan.component(name)
    if ended := end_owned_processes(home, name, grace_seconds=_GRACE_SECONDS):
        print(f"ended {count_text(ended, 'process', 'processes')} of an earlier {name}", flush=True)  # noqa: T201 - stdout is the component's log
    if name == "ray":
        _prepare_ray(plan)
    os.nice(component.niceness)
    # Waiting OpenMP threads sleep, because spinning wastes time of shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.update(component.environment)
    os.environ[COMPONENT_MARK] = name
    os.execvp(component.argv[0], component.argv)  # noqa: S606 - no shell is wanted


def _prepare_ray(plan: Plan) -> None:
    # Imported here: no other component needs them.
    from serving.ray_local.layout import RayLayout  # noqa: PLC0415
    from serving.settings import HttpSettings  # noqa: PLC0415

    RayLayout(Path(plan.run_dir), plan.ports, http=HttpSettings(**plan.http)).prepare()


if __name__ == "__main__":
    main(sys.argv[1:])
