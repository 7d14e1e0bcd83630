"""A worker's membership of its consumer group, kept on disk, so that its successor can strike a dead worker off.

Why this exists: who is killed stays a member until its session ends (10 s), and the group waits for it. The embedded broker
(noida-db 0.2.3) never removes it once its successor has begun to join: the group then waits for a dead leader, for ever.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from stream.files import FileLock

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
        self._path = directory / _FILE
        self._lock = FileLock.try_acquire(self._path)
        if self._lock is None:
            _log.warning("another worker has locked %s; each worker needs a directory of its own", directory)
        self._member = self._path.read_text(encoding="utf-8") if self._lock else ""

    def keep(self, member: str) -> None:
        """Remember `member`, the id that the group's coordinator gave; "" is none."""
        if self._lock is None or not member or member == self._member:
            return
        self._member = member
        self._path.write_text(member, encoding="utf-8")

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
        if self._lock is not None:
            self._lock.release()
