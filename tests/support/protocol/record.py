"""What the broker holds, decoded once: for the checks, which look at it again and again while a world lives."""

from collections.abc import Iterator

import msgspec

from stream.stages.alert.state import order as alert_order
from stream.stages.retrain.state import order as retraining_order
from stream.stages.watch.state import order as watch_order
from stream.wire import Event, WireError, decode
from support.simulated_kafka import Place, SimulatedKafka, Stored

_ORDERS = {"streams": watch_order, "alerts": alert_order, "retraining": retraining_order}

__all__ = ["Read", "Record", "essence"]


class Read(msgspec.Struct, frozen=True):
    """A record and its event; None where it is no event."""

    stored: Stored
    event: Event | None


class Record:
    """Everything that was ever written, compacted or not."""

    def __init__(self, kafka: SimulatedKafka) -> None:
        self._kafka = kafka
        self._read: dict[Place, list[Read]] = {}
        self._tables: dict[Place, tuple[int, dict[bytes, bytes]]] = {}

    def partition(self, topic: str, number: int) -> list[Read]:
        """Return what was written to a partition so far."""
        written, read = self._kafka.written[topic, number], self._read.setdefault((topic, number), [])
        for stored in written[len(read) :]:
            read.append(Read(stored, _event(stored)))
        return read

    def topic(self, topic: str) -> Iterator[Read]:
        """Return what was written to a topic so far, partition by partition."""
        for number in range(self._kafka.topics[topic]):
            yield from self.partition(topic, number)

    def events(self, topic: str) -> Iterator[Event]:
        """Return the events of a topic so far."""
        return (read.event for read in self.topic(topic) if read.event is not None)

    def table(self, name: str, number: int) -> dict[bytes, bytes]:
        """Return what a table's partition would be recovered to now."""
        place = (f"weir.watch-{name}-changelog", number)
        written = self._kafka.written[place]
        known, rows = self._tables.get(place, (0, {}))
        for stored in written[known:]:
            assert stored.key is not None
            if stored.value is None:
                rows.pop(stored.key, None)
            elif stored.key not in rows or _ORDERS[name](stored.key, stored.value) >= _ORDERS[name](
                stored.key, rows[stored.key]
            ):
                rows[stored.key] = stored.value
        self._tables[place] = (len(written), rows)
        return rows


def essence(event: Event) -> tuple[object, ...]:
    """Return what must be equal in every copy of an event: all but its traces."""
    return (event.id, event.source, event.type, event.time, event.data, event.partitionkey)


def _event(stored: Stored) -> Event | None:
    try:
        return decode(stored.value, stored.headers)
    except WireError:
        return None
