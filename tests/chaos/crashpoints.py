"""SIGKILL at an exact point of the shipper: between acknowledgement and cursor, cursor and unlink, or before removal (F3).

The lab writes the point and a countdown into a file. The process counts how often it passes the point, and kills itself at zero.
"""

import json
import os
import signal
from types import SimpleNamespace

from stream.files import replace_file

POINTS = ("before the cursor", "after the cursor", "before the directory is removed")
_FILE = "crashpoint.json"


def arm(home, point, passes):
    """Make the shipper of `home` kill itself when it passes `point` for the `passes`th time."""
    replace_file(home / _FILE, json.dumps({"point": point, "left": passes}))


def plant(home):
    """Patch the crash points into this process."""
    from serving.capture import pipeline, shipper  # noqa: PLC0415 - only the shipper loads these modules

    save, remove = pipeline.save_cursor, shipper.shutil.rmtree

    def saving(*arguments):
        _pass(home, "before the cursor")
        save(*arguments)
        _pass(home, "after the cursor")

    def removing(*arguments, **options):
        _pass(home, "before the directory is removed")
        remove(*arguments, **options)

    pipeline.save_cursor = saving
    shipper.shutil = SimpleNamespace(rmtree=removing)  # the module uses nothing else of shutil


def _pass(home, point):
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
