"""A worker's membership of its consumer group, kept on disk, so that its successor can strike a dead worker off.

Why this exists: who is killed stays a member until its session ends (10 s), and the group waits for it. The embedded broker
(noida-db 0.2.3) never removes it once its successor has begun to join: the group then waits for a dead leader, for ever.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

__all__ = ["Membership"]

_log = logging.getLogger(__name__)
_FILE = "member"
_SECONDS = 10.0


class Membership:
    """What a worker's directory remembers of its consumer.

    Parameters
    ----------
    directory
        The worker's own; made where it is missing. One living worker holds it: another that is given the same directory
        remembers nothing and strikes nobody off.
    group
        The consumer group.
    """

    def __init__(self, directory: Path, group: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._group = group
        self._handle = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._held = self._lock(directory)
        self._member = os.pread(self._handle, 4096, 0).decode() if self._held else ""

    def _lock(self, directory: Path) -> bool:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another worker holds %s; each worker wants a directory of its own", directory)
            return False
        return True

    def keep(self, member: str) -> None:
        """Remember `member`, the id that the group's coordinator gave; "" is none."""
        if not self._held or not member or member == self._member:
            return
        self._member = member
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, member.encode(), 0)

    async def strike_off(self, options: Mapping[str, Any]) -> None:
        """Take the former worker out of the group; where that fails, its session ends by itself.

        Parameters
        ----------
        options
            Kafka's connection arguments.
        """
        if not self._member:
            return
        client = AIOKafkaAdminClient(**options)
        try:
            async with asyncio.timeout(_SECONDS):
                await client.start()
                coordinator = await client.find_coordinator(self._group)
                request = LeaveGroupRequest(self._group, self._member)
                await client._send_request(request, coordinator)  # noqa: SLF001 - aiokafka has no public call for one member
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("%s may still be a member of %s: %s", self._member, self._group, type(error).__name__)
        finally:
            await client.close()

    def close(self) -> None:
        """Let another worker have the directory."""
        os.close(self._handle)
