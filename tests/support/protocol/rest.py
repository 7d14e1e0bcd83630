"""A world at rest, and functions that several of its checks use."""

import msgspec

from stream.wire import AlertRecord, FindingRecord
from support.protocol.oracle import Inference, Watched
from support.protocol.parts import KAFKA


class Rest:
    """A world at rest: its log, and the results that the log must lead to."""

    def __init__(self, world, record):
        self.world = world
        self.record = record
        self.inference = Inference(record)
        self.watched = Watched(record)

    def data(self, topic, kind):
        """Return {event id: data} of a topic's events whose data is a `kind`."""
        return {event.id: event.data for event in self.record.events(topic) if isinstance(event.data, kind)}

    def tables(self, name):
        """Return a table's rows as a recovery would restore them ("changelog"), and as the workers have them ("memory")."""
        changelog, memory = {}, {}
        for number in range(KAFKA.stream_partitions):
            changelog |= self.record.table(name, number)
        for worker_name, worker in self.world.workers.items():
            if worker_name.startswith("watch"):
                mine = {place.partition for place in worker.assigned}
                memory |= dict(row for number in mine for row in worker.app.tables[name].rows(number))
        return [("changelog", changelog), ("memory", memory)]


def untraced(data):
    """Return data without traces, which may differ between duplicates."""
    if isinstance(data, FindingRecord):
        return msgspec.structs.replace(data, traces=())
    return msgspec.structs.replace(data, trace_id="") if isinstance(data, AlertRecord) else data


def difference(published, expected):
    """Return a description of how two dicts of data differ, without traces; empty if they are equal."""
    names = published.keys() | expected.keys()
    differing = [name for name in names if untraced(published.get(name)) != untraced(expected.get(name))]
    if not differing:
        return ""
    name = min(differing)
    return f"{len(differing)} differ; {name}: {published.get(name)}, from zero {expected.get(name)}"


def describe(**lists):
    """Return the names and first items of the lists that are not empty, as text."""
    return "; ".join(f"{name}: {items[:5]}{' …' if len(items) > 5 else ''}" for name, items in lists.items() if items)
