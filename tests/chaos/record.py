"""What lies on the topics, kept by identity: the first copy of everything, and how many copies there were."""

from collections import Counter, defaultdict
from typing import Any

import msgspec

from chaos.look import Raw
from stream.dead_letters import HEADER_PREFIX
from stream.stages.watch.records import WATCH_SOURCE
from stream.wire import (
    AlertRecord,
    Event,
    FindingRecord,
    GapRecord,
    RequestRecord,
    ResponseRecord,
    Signal,
    TopicNames,
    Verdict,
    WireError,
    decode,
)

__all__ = ["Record", "Seen", "plain_alert", "plain_finding"]

Place = tuple[int, int]


class Seen(msgspec.Struct, gc=False):
    """The first copy of an event: where it lies, and the event."""

    partition: int
    offset: int
    event: Event


def plain_finding(record: FindingRecord) -> FindingRecord:
    """Return `record` without the spans of its evidence: a record that was scored twice has two."""
    return msgspec.structs.replace(record, traces=())


def plain_alert(record: AlertRecord) -> AlertRecord:
    """Return `record` without its trace."""
    return msgspec.structs.replace(record, trace_id="")


class Record:
    """Everything read so far.

    Attributes
    ----------
    inference
        Requests and ends by (source, id).
    places
        By inference partition, in their order: (offset, identity of a request or end, or None for what has no outputs).
    unreadable
        Places on inference that hold no event.
    gaps
        Gap records by (source, first number).
    verdicts, signals, found, watched
        By id; `found` is score's, `watched` is watch's.
    alerts
        By (alert id, revision).
    decisions
        (retraining id, state).
    letters
        Origins of the dead letters: (topic, partition, offset), and how many came of each.
    changelog
        By table and key: (partition, offset, value), in their order.
    repeated, unlike
        Copies beyond the first by topic; what a second copy said otherwise.
    """

    def __init__(self, names: TopicNames, changelogs: dict[str, str]) -> None:
        self._names = names
        self._tables = {topic: table for table, topic in changelogs.items()}
        self.inference: dict[tuple[str, str], Seen] = {}
        self.places: dict[int, list[tuple[int, tuple[str, str] | None]]] = defaultdict(list)
        self.unreadable: set[Place] = set()
        self.gaps: dict[tuple[str, int], GapRecord] = {}
        self.verdicts: dict[str, Seen] = {}
        self.signals: dict[str, Seen] = {}
        self.found: dict[str, Seen] = {}
        self.watched: dict[str, Seen] = {}
        self.alerts: dict[tuple[str, int], AlertRecord] = {}
        self.decisions: set[tuple[str, str]] = set()
        self.letters: Counter[tuple[str, int, int]] = Counter()
        self.changelog: dict[str, dict[str, list[tuple[int, int, bytes]]]] = defaultdict(lambda: defaultdict(list))
        self.repeated: Counter[str] = Counter()
        self.unlike: list[str] = []

    @property
    def repeated_share(self) -> float:
        """How many of all records of inference, verdicts, signals, findings and alerts were copies of an earlier one."""
        first = sum(map(len, (self.inference, self.verdicts, self.signals, self.found, self.watched, self.alerts)))
        again = sum(self.repeated.values())
        return round(again / max(1, first + again), 4)

    def take(self, raw: Raw) -> Event | None:
        """Keep a record; return its event, where it is one."""
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

    def _keep(self, raw: Raw, event: Event) -> None:
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
            self._alert(raw, data)
        elif raw.topic == self._names.retraining:
            self.decisions.add((event.id, getattr(data, "state", "")))

    def _inference(self, raw: Raw, event: Event) -> None:
        identity = None
        if isinstance(event.data, RequestRecord | ResponseRecord):
            identity = (event.source, event.id)
            self._first(self.inference, identity, raw, event, event.data)
        elif isinstance(event.data, GapRecord):
            self.gaps[event.source, event.data.first_number] = event.data
        self.places[raw.partition].append((raw.offset, identity))

    def _first(self, kept: dict[Any, Seen], identity: Any, raw: Raw, event: Event, data: Any) -> None:
        known = kept.get(identity)
        if known is None:
            kept[identity] = Seen(raw.partition, raw.offset, msgspec.structs.replace(event, data=data))
            return
        self.repeated[raw.topic] += 1
        if known.event.data != data:
            self.unlike.append(f"{raw.topic} has {identity} twice, and not alike")

    def _alert(self, raw: Raw, record: AlertRecord) -> None:
        plain = plain_alert(record)
        known = self.alerts.setdefault((record.alert_id, record.revision), plain)
        if known is not plain:
            self.repeated[raw.topic] += 1
            if known != plain:
                self.unlike.append(f"alert {record.alert_id} revision {record.revision} twice, and not alike")


def _origin(raw: Raw) -> tuple[str, int, int]:
    headers = dict(raw.headers)
    said = [headers.get(HEADER_PREFIX + name, b"").decode() for name in ("topic", "partition", "offset")]
    return said[0], int(said[1] or -1), int(said[2] or -1)
