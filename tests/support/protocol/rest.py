"""A world at rest, and what its checks have in common."""

import msgspec

from stream.wire import AlertRecord, FindingRecord
from support.protocol.oracle import Inference, Watched
from support.protocol.parts import KAFKA


class Rest:
    """A world at rest."""

    def __init__(self, world, record):
        self.world = world
        self.record = record
        self.inference = Inference(record)
        self.watched = Watched(record)

    def data(self, topic, kind):
        """Return {event id: data} of the events of a kind."""
        return {event.id: event.data for event in self.record.events(topic) if isinstance(event.data, kind)}

    def tables(self, name):
        """Return a table as it would be recovered, and as those who have it hold it."""
        changelog, memory = {}, {}
        for number in range(KAFKA.stream_partitions):
            changelog |= self.record.table(name, number)
        for worker_name, worker in self.world.workers.items():
            if worker_name.startswith("watch"):
                mine = {place.partition for place in worker.assigned}
                memory |= dict(row for number in mine for row in worker.app.tables[name].rows(number))
        return [("changelog", changelog), ("memory", memory)]


def untraced(data):
    """Return data without traces, which may differ in copies."""
    if isinstance(data, FindingRecord):
        return msgspec.structs.replace(data, traces=())
    return msgspec.structs.replace(data, trace_id="") if isinstance(data, AlertRecord) else data


def difference(published, expected):
    """Return how two dicts of data differ, but for traces."""
    names = published.keys() | expected.keys()
    differing = [name for name in names if untraced(published.get(name)) != untraced(expected.get(name))]
    if not differing:
        return ""
    name = min(differing)
    return f"{len(differing)} differ; {name}: {published.get(name)}, from zero {expected.get(name)}"


def told(**lists):
    return "; ".join(f"{name}: {items[:5]}{' …' if len(items) > 5 else ''}" for name, items in lists.items() if items)
