"""Ray's layout for a stack, from its ports and its run directory."""

from collections.abc import Mapping
from pathlib import Path

from serving.ray_local import RayLayout
from serving.settings import HttpSettings

__all__ = ["ray_layout", "ray_port_names"]


def ray_port_names() -> list[str]:
    """Return the names of the ports that Ray needs."""
    return RayLayout.port_names()


def ray_layout(run_dir: Path, ports: Mapping[str, int], http: HttpSettings) -> RayLayout:
    """Return where Ray's files and ports are in this stack."""
    return RayLayout(run_dir, ports, http=http)
