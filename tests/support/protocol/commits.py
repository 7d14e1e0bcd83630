"""I5 at every commit, from the outside: below a committed offset everything has had its effect on the log."""

from collections.abc import Mapping
from typing import Any

from stream.stages.alert.state import decode as decode_alerts
from stream.stages.retrain.state import decode as decode_model
from stream.stages.watch.state import decode_stream
from stream.wire import (
    AlertRecord,
    FindingRecord,
    RequestRecord,
    ResponseRecord,
    RetrainingRecord,
    Signal,
    Tick,
    stream_key,
    tenant_model_key,
)
from support.protocol.parts import BUCKET_SECONDS, KAFKA
from support.protocol.record import Read, Record
from support.simulated_kafka import Place

__all__ = ["Commits"]

_OWN = "_weir"
_HEADER = "__weir.errors."
#: Watch tells how far log time has come once a second of it, so that it may be so much further than what was told.
_TOLD_EVERY_SECONDS = 1.0


class Commits:
    """Looks at each commit before it is made."""

    def __init__(self, record: Record, violated: Any) -> None:
        self._record = record
        self._violated = violated
        self._checked: dict[tuple[str, Place], int] = {}
        self._scanned: dict[Place, int] = {}
        self._verdicts: set[tuple[str, str]] = set()
        self._signals: set[str] = set()
        self._buried: set[tuple[str, int, int]] = set()
        self._watermarks: dict[int, float] = {}
        self._looks = {
            KAFKA.names.inference: self._inference,
            KAFKA.names.signals: self._signal,
            KAFKA.names.findings: self._finding,
            KAFKA.names.alerts: self._decided,
            KAFKA.names.retraining: self._decided,
        }

    def __call__(self, group: str, offsets: Mapping[Place, int]) -> None:
        self._scan()
        for place, offset in offsets.items():
            topic, number = place
            start = self._checked.get((group, place), 0)
            for read in self._record.partition(topic, number)[start:offset]:
                if not self._done(read):
                    what = read.event.id if read.event is not None else "what is no event"
                    self._violated(
                        "I5", f"{topic}-{number}: {offset} is committed, {read.stored.offset} ({what}) is not done"
                    )
            self._checked[group, place] = max(start, offset)

    def _done(self, read: Read) -> bool:
        stored = read.stored
        if (stored.topic, stored.partition, stored.offset) in self._buried:
            return True
        return stored.value is None if read.event is None else bool(self._looks[stored.topic](read))

    def _inference(self, read: Read) -> bool:
        event = read.event
        assert event is not None
        if not isinstance(event.data, RequestRecord | ResponseRecord):
            return True
        text = event.data.text() if isinstance(event.data, RequestRecord) else event.data.text
        owed = event.data.owed if text else ()
        return f"{event.id}/signal" in self._signals and all((event.id, name) in self._verdicts for name in owed)

    def _signal(self, read: Read) -> bool:
        """Its bucket is closed in the table, or it came after its bucket."""
        assert read.event is not None
        signal = read.event.data
        if not isinstance(signal, Signal):
            return True
        bucket, number = int(signal.time // BUCKET_SECONDS), read.stored.partition
        value = self._record.table("streams", number).get(stream_key(signal.tenant, signal.model, signal.side).encode())
        if value is not None and decode_stream(value).last_closed >= bucket:
            return True
        furthest = self._watermarks.get(number, 0.0) + _TOLD_EVERY_SECONDS
        return bucket < int(furthest // BUCKET_SECONDS)

    def _finding(self, read: Read) -> bool:
        assert read.event is not None
        finding = read.event.data
        if not isinstance(finding, FindingRecord):
            return True
        key = stream_key(finding.tenant, finding.model, finding.side).encode()
        value = self._record.table("alerts", read.stored.partition).get(key)
        return value is not None and decode_alerts(value).offset >= read.stored.offset

    def _decided(self, read: Read) -> bool:
        assert read.event is not None
        data, stored = read.event.data, read.stored
        if not isinstance(data, AlertRecord | RetrainingRecord) or data.tenant == _OWN:
            return True
        value = self._record.table("retraining", stored.partition).get(
            tenant_model_key(data.tenant, data.model).encode()
        )
        return value is not None and decode_model(value).offsets.get(stored.topic, -1) >= stored.offset

    def _scan(self) -> None:
        names = KAFKA.names
        for read in self._new(names.verdicts, KAFKA.partitions):
            data: Any = read.event.data if read.event is not None else None
            if hasattr(data, "detector"):
                self._verdicts.add((data.event_id, data.detector))
        for read in self._new(names.signals, KAFKA.stream_partitions):
            if read.event is not None and isinstance(read.event.data, Signal):
                self._signals.add(read.event.id)
        for read in self._new(names.dead_letters, 1):
            headers = {name.removeprefix(_HEADER): value.decode() for name, value in read.stored.headers}
            self._buried.add((headers["topic"], int(headers["partition"]), int(headers["offset"])))
        for read in self._new(names.findings, KAFKA.stream_partitions):
            data = read.event.data if read.event is not None else None
            if isinstance(data, Tick) and data.watermark is not None:
                number = read.stored.partition
                self._watermarks[number] = max(self._watermarks.get(number, 0.0), data.watermark)

    def _new(self, topic: str, partitions: int) -> list[Read]:
        found = []
        for number in range(partitions):
            read = self._record.partition(topic, number)
            found += read[self._scanned.get((topic, number), 0) :]
            self._scanned[topic, number] = len(read)
        return found
