"""Errors of serving.ray_local.

::

    RayLocalError       Ray cannot be started here as it is laid out: a path too long, a port missing, a program absent
"""

__all__ = ["RayLocalError"]


class RayLocalError(Exception):
    """Ray cannot be started here as it is laid out."""
