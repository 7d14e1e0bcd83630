"""Stores a worker's member id, so that the successor of a killed worker can remove that member from the group.

A killed worker stays a member until its session expires (10 s), and the group waits for this member. The embedded broker (noida-db 0.2.3) never
removes the killed worker after its successor has begun to join.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream.files import FileLock
from stream.kafka.admin import leave_group
from stream.kafka.clients import BROKER_ERRORS

_log = logging.getLogger(__name__)
_FILE = "member"
_SECONDS = 10.0


def member_id(consumer: Any) -> str:
    """Return the id of an aiokafka consumer in its group; "" before it has joined."""
    coordinator = None if consumer is None else consumer._coordinator  # noqa: SLF001 - neither Faust nor aiokafka has a public one
    return "" if coordinator is None else str(coordinator.member_id)


class Membership:
    """The stored member id of a worker in a consumer group.

    `directory` is created if it is missing. If another worker has locked `directory`, this object does nothing.
    """

    def __init__(self, directory: Path, group: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.group = group
        self._path = directory / _FILE
        self._lock = FileLock.try_acquire(self._path)
        if self._lock is None:
            _log.warning("another worker has locked %s; each worker needs a directory of its own", directory)
        self._member = self._path.read_text(encoding="utf-8") if self._lock else ""

    def keep(self, member: str) -> None:
        """Store `member`, the id from the group's coordinator; "" means that there is no id yet.

        If the disk is full, log this: the worker needs no disk, only its successor waits until this worker's session expires.
        """
        if self._lock is None or not member or member == self._member:
            return
        self._member = member
        try:
            self._path.write_text(member, encoding="utf-8")
        except OSError as error:
            _log.warning("the member id is not stored in %s: %s", self._path, error)

    async def remove_predecessor(self, options: Mapping[str, Any]) -> None:
        """Remove the former worker from the group. If this fails, the group waits until that worker's session expires."""
        if not self._member:
            return
        try:
            async with asyncio.timeout(_SECONDS):
                await leave_group(options, self.group, self._member)
        except BROKER_ERRORS as error:
            _log.warning("%s may still be a member of %s: %s", self._member, self.group, type(error).__name__)

    def close(self) -> None:
        """Unlock the directory."""
        if self._lock is not None:
            self._lock.release()
