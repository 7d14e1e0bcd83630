"""Check I5 at every commit, from the log alone: each record below a committed offset has had its effect on the log."""

from stream.stages.alert.state import decode as decode_alerts
from stream.stages.retrain.state import AlertsHalf, RequestsHalf, half_key
from stream.stages.retrain.state import decode as decode_half
from stream.stages.watch.state import decode_stream
from stream.wire import (
    OWN_TENANT,
    AlertRecord,
    FindingRecord,
    RequestRecord,
    ResponseRecord,
    RetrainingRecord,
    Signal,
    Tick,
    Verdict,
    stream_key,
    tenant_model_key,
)
from support.protocol.log_checks import source_of
from support.protocol.parts import BUCKET_SECONDS, KAFKA

#: Watch publishes its watermark once per second of event time. So its present watermark may be this much later.
_WATERMARK_EVERY_SECONDS = 1.0


class Commits:
    """A check that runs before each commit."""

    def __init__(self, record, violated):
        self._record = record
        self._violated = violated
        self._checked = {}
        self._scanned = {}
        self._verdicts = set()
        self._signals = set()
        self._buried = set()
        self._watermarks = {}

    def __call__(self, group, offsets):
        self._scan()
        for place, offset in offsets.items():
            start = self._checked.get((group, place), 0)
            for read in self._record.partition(*place)[start:offset]:
                done = read.stored.value is None if read.event is None else self._done(read)
                if not done and (*place, read.stored.offset) not in self._buried:
                    what = read.event.id if read.event is not None else "not an event"
                    said = f"{place}: {offset} is committed, but {read.stored.offset} ({what}) is not finished"
                    self._violated("I5", said)
            self._checked[group, place] = max(start, offset)

    def _done(self, read):
        stored, event = read.stored, read.event
        data = event.data
        if isinstance(data, RequestRecord | ResponseRecord):
            return f"{event.id}/signal" in self._signals and all(
                (event.id, name) in self._verdicts for name in data.owed
            )
        if isinstance(data, Signal):
            return self._closed(data, stored.partition)
        if isinstance(data, FindingRecord):
            value = self._row("alerts", stored, stream_key(data.tenant, data.model, data.side))
            return value is not None and decode_alerts(value).offset >= stored.offset
        if isinstance(data, AlertRecord | RetrainingRecord) and data.tenant != OWN_TENANT:
            half = AlertsHalf() if isinstance(data, AlertRecord) else RequestsHalf()
            value = self._row("retraining", stored, half_key(tenant_model_key(data.tenant, data.model), half))
            return value is not None and decode_half(value).offset >= stored.offset
        return True

    def _closed(self, signal, number):
        """Return whether the table has the signal's bucket as closed, or the signal is late for its bucket."""
        bucket = int(signal.time // BUCKET_SECONDS)
        value = self._record.table("streams", number).get(stream_key(signal.tenant, signal.model, signal.side).encode())
        if value is not None and decode_stream(value).last_closed >= bucket:
            return True
        furthest = self._watermarks.get(number, 0.0) + _WATERMARK_EVERY_SECONDS
        return bucket < int(furthest // BUCKET_SECONDS)

    def _row(self, table, stored, key):
        return self._record.table(table, stored.partition).get(key.encode())

    def _scan(self):
        names = KAFKA.names
        for topic in (names.verdicts, names.signals, names.dead_letters, names.findings):
            for number in range(self._record.kafka.topics[topic]):
                read = self._record.partition(topic, number)
                for one in read[self._scanned.get((topic, number), 0) :]:
                    self._note(one)
                self._scanned[topic, number] = len(read)

    def _note(self, read):
        stored, data = read.stored, read.event and read.event.data
        if stored.topic == KAFKA.names.dead_letters:
            self._buried.add(source_of(stored))
        elif isinstance(data, Verdict):
            self._verdicts.add((data.event_id, data.detector))
        elif isinstance(data, Signal):
            self._signals.add(read.event.id)
        elif isinstance(data, Tick) and stored.topic == KAFKA.names.findings and data.watermark is not None:
            self._watermarks[stored.partition] = max(self._watermarks.get(stored.partition, 0.0), data.watermark)
