"""The records on the topics by identity: the first copy of each record, and the number of duplicates."""

from collections import Counter, defaultdict

import msgspec

from stream.dead_letters import HEADER_PREFIX
from stream.stages.watch.records import WATCH_SOURCE
from stream.wire import (
    AlertRecord,
    Event,
    FindingRecord,
    GapRecord,
    RequestRecord,
    ResponseRecord,
    RetrainingRecord,
    Signal,
    Verdict,
    WireError,
    decode,
)


class Seen(msgspec.Struct, gc=False):
    """The first copy of an event, and its location."""

    partition: int
    offset: int
    event: Event


def plain_finding(record):
    """Return `record` without the spans of its evidence, which differ if an event was scored twice."""
    return msgspec.structs.replace(record, traces=())


def plain_alert(record):
    """Return `record` without its trace."""
    return msgspec.structs.replace(record, trace_id="")


def plain_decision(record):
    """Return `record` without the offsets, which depend on how much of the log existed, and without the versions."""
    return msgspec.structs.replace(record, data=None, pins=(), versions={})


class Record:
    """All records that were read so far."""

    def __init__(self, names, changelogs) -> None:
        self._names = names
        self._tables = {topic: table for table, topic in changelogs.items()}
        #: Requests and ends by (source, id).
        self.inference: dict[tuple[str, str], Seen] = {}
        #: By inference partition: (offset, identity of a request or end, or None for a record without outputs), in order.
        self.places = defaultdict(list)
        #: Offsets on inference without an event: (partition, offset).
        self.unreadable = set()
        #: By (source, first number).
        self.gaps: dict[tuple[str, int], GapRecord] = {}
        #: By id; findings of score and of watch.
        self.verdicts: dict[str, Seen] = {}
        self.signals: dict[str, Seen] = {}
        self.found: dict[str, Seen] = {}
        self.watched: dict[str, Seen] = {}
        #: By (alert id, revision); by (retraining id, state).
        self.alerts: dict[tuple[str, int], AlertRecord] = {}
        self.decisions: dict[tuple[str, str], RetrainingRecord] = {}
        #: Dead letters by their origin: (topic, partition, offset).
        self.letters = Counter()
        #: By table and key: (partition, offset, value), in order.
        self.changelog = defaultdict(lambda: defaultdict(list))
        #: Copies beyond the first by topic, and copies with another content.
        self.repeated = Counter()
        self.unlike = []

    @property
    def repeated_share(self):
        """The share of duplicates among all events."""
        first = sum(map(len, (self.inference, self.verdicts, self.signals, self.found, self.watched, self.alerts)))
        again = self.repeated.total()
        return round(again / max(1, first + again), 4)

    def add(self, raw):
        """Keep a Kafka record; return its event, or None."""
        if raw.topic in self._tables:
            key = (raw.key or b"").decode(errors="replace")
            self.changelog[self._tables[raw.topic]][key].append((raw.partition, raw.offset, raw.value or b""))
            return None
        if raw.topic == self._names.dead_letters:
            self.letters[_origin(raw)] += 1
            return None
        try:
            event = decode(raw.value, raw.headers)
        except WireError:
            if raw.topic == self._names.inference:
                self.unreadable.add((raw.partition, raw.offset))
                self.places[raw.partition].append((raw.offset, None))
            return None
        self._keep(raw, event)
        return event

    def _keep(self, raw, event):
        data = event.data
        if raw.topic == self._names.inference:
            self._inference(raw, event)
        elif isinstance(data, Verdict):
            self._first(self.verdicts, event.id, raw, event, data)
        elif isinstance(data, Signal):
            self._first(self.signals, event.id, raw, event, data)
        elif isinstance(data, FindingRecord):
            kept = self.watched if event.source == WATCH_SOURCE else self.found
            self._first(kept, event.id, raw, event, plain_finding(data))
        elif isinstance(data, AlertRecord) and event.source == "weir/alert":
            self._record(self.alerts, (data.alert_id, data.revision), raw, plain_alert(data))
        elif isinstance(data, RetrainingRecord):
            self._record(self.decisions, (event.id, data.state), raw, plain_decision(data))

    def _inference(self, raw, event):
        identity = None
        if isinstance(event.data, RequestRecord | ResponseRecord):
            identity = (event.source, event.id)
            self._first(self.inference, identity, raw, event, event.data)
        elif isinstance(event.data, GapRecord):
            self.gaps[event.source, event.data.first_number] = event.data
        self.places[raw.partition].append((raw.offset, identity))

    def _first(self, kept, identity, raw, event, data):
        if identity not in kept:
            kept[identity] = Seen(raw.partition, raw.offset, msgspec.structs.replace(event, data=data))
        else:
            self._copy(raw, identity, kept[identity].event.data == data)

    def _record(self, kept, identity, raw, record):
        if identity not in kept:
            kept[identity] = record
        else:
            self._copy(raw, identity, kept[identity] == record)

    def _copy(self, raw, identity, equal):
        self.repeated[raw.topic] += 1
        if not equal:
            self.unlike.append(f"{raw.topic} has two contents of {identity}")


def _origin(raw):
    headers = dict(raw.headers)
    topic, partition, offset = (headers.get(f"{HEADER_PREFIX}{name}", b"") for name in ("topic", "partition", "offset"))
    return topic.decode(), int(partition or -1), int(offset or -1)
