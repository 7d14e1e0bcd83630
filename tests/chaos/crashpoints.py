"""A kill -9 at an exact place of the shipper: between the acknowledgement and the cursor, or the cursor and the unlink (F3).

The lab writes the place and a countdown into a file; the process counts its passes and kills itself at the last, as nothing from
outside could.
"""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["POINTS", "arm", "plant"]

POINTS = ("before the cursor", "after the cursor", "before the directory goes")
_FILE = "crashpoint.json"


def arm(home: Path, point: str, passes: int) -> None:
    """Have the shipper of `home` kill itself when it passes `point` for the `passes`th time."""
    beside = home / f".{_FILE}"
    beside.write_text(json.dumps({"point": point, "left": passes}))
    beside.replace(home / _FILE)


def plant(home: Path) -> None:
    """Plant the points in this process."""
    from serving.capture import pipeline, shipper  # noqa: PLC0415 - only the shipper loads these

    save, remove = pipeline.save_cursor, shipper.shutil.rmtree

    def saving(*arguments: Any) -> None:
        _pass(home, "before the cursor")
        save(*arguments)
        _pass(home, "after the cursor")

    def removing(*arguments: Any, **options: Any) -> None:
        _pass(home, "before the directory goes")
        remove(*arguments, **options)

    pipeline.save_cursor = saving
    shipper.shutil = _Shutil(removing)  # type: ignore[assignment]  # its only use


class _Shutil:
    def __init__(self, rmtree: Callable[..., None]) -> None:
        self.rmtree = rmtree


def _pass(home: Path, point: str) -> None:
    path = home / _FILE
    try:
        armed = json.loads(path.read_text())
    except OSError:
        return
    if armed["point"] != point:
        return
    if armed["left"] > 1:
        arm(home, point, armed["left"] - 1)
        return
    path.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
