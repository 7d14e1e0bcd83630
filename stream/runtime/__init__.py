"""Faust as Weir needs it: honest commits, awaited outputs and state, a watchdog, one factory of apps.

Importing this imports Faust; the event contract (:mod:`stream.wire`) does not.
"""

from stream.kafka.ack_tracker import AckTracker
from stream.kafka.publisher import Publisher, Window
from stream.runtime.app import BaseApp, create_base_app
from stream.runtime.table import AckedTable
from stream.runtime.transport import Transport

__all__ = ["AckTracker", "AckedTable", "BaseApp", "Publisher", "Transport", "Window", "create_base_app"]
