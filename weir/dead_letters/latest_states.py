"""Records that state what something is now: an old one must not come to stand after a newer one.

The newest record of an alert's key is what compaction keeps of it, and the newest of a retraining run says whether it is under way:
putting an older one back would turn time back for whoever reads the topic later.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from stream.kafka.tail import Tail
from stream.settings import KafkaSettings

__all__ = ["LatestStates"]

_Identity = tuple[str, int, bytes | None, bytes]


class LatestStates:
    """The newest record of everything on the topics of alerts and retraining, read when one is asked for.

    Parameters
    ----------
    kafka
        Settings with an address.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topics = {kafka.names.alerts, kafka.names.retraining}
        self._latest: dict[str, dict[_Identity, int]] = {}
        self._lock = asyncio.Lock()

    async def newer(
        self, topic: str, partition: int, offset: int, key: bytes | None, headers: Mapping[str, bytes]
    ) -> int | None:
        """Return the offset of the newest record that states the same thing as the one at `offset`, None where that is it."""
        if topic not in self._topics:
            return None
        async with self._lock:
            if topic not in self._latest:
                self._latest[topic] = await self._read(topic)
        latest = self._latest[topic].get((topic, partition, key, headers.get("ce_subject", b"")), -1)
        return latest if latest > offset else None

    async def _read(self, topic: str) -> dict[_Identity, int]:
        latest: dict[_Identity, int] = {}
        tail = Tail(self._kafka.client_options(), topic, follow=False)
        async with aclosing(tail.records()) as records:
            async for record in records:
                identity = (topic, record.partition, record.key, dict(record.headers).get("ce_subject", b""))
                latest[identity] = max(record.offset, latest.get(identity, -1))
        return latest
