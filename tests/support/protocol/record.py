"""The broker's records, decoded once: the checks read them many times during a world."""

from typing import NamedTuple

from stream.stages.shared.state_codec import offset_order
from stream.stages.watch.state import order as watch_order
from stream.wire import Event, WireError, decode
from support.simulated_kafka import Stored

_ORDERS = {"streams": watch_order, "alerts": offset_order, "retraining": offset_order}


class Read(NamedTuple):
    """A record and its event; the event is None if the record is not an event."""

    stored: Stored
    event: Event | None


class Record:
    """All records that were ever written, compacted or not."""

    def __init__(self, kafka):
        self.kafka = kafka
        self._read = {}
        self._tables = {}

    def partition(self, topic, number):
        """Return the records of a partition so far."""
        written, read = self.kafka.written[topic, number], self._read.setdefault((topic, number), [])
        read += [Read(stored, _event(stored)) for stored in written[len(read) :]]
        return read

    def topic(self, topic):
        """Yield the records of a topic so far, partition by partition."""
        for number in range(self.kafka.topics[topic]):
            yield from self.partition(topic, number)

    def events(self, topic):
        return (read.event for read in self.topic(topic) if read.event is not None)

    def table(self, name, number):
        """Return the rows of a table's partition that a recovery would restore now."""
        place, order = (f"weir.watch-{name}-changelog", number), _ORDERS[name]
        written = self.kafka.written[place]
        known, rows = self._tables.get(place, (0, {}))
        for key, value in ((stored.key, stored.value) for stored in written[known:]):
            if value is None:
                rows.pop(key, None)
            elif key not in rows or order(key, value) >= order(key, rows[key]):
                rows[key] = value
        self._tables[place] = (len(written), rows)
        return rows


def _event(stored):
    try:
        return decode(stored.value, stored.headers)
    except WireError:
        return None
