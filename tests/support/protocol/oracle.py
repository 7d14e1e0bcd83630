"""What a world's log must have led to: worked out plainly, or by one undisturbed pass of the machines over what was written."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from stream.settings import tenant_settings
from stream.stages.alert.machine import Alerting
from stream.stages.alert.state import StreamAlerts
from stream.stages.watch.buckets import Offer, observation_of
from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.wire import (
    OWN_TENANT,
    Event,
    FindingRecord,
    GapRecord,
    RequestRecord,
    ResponseRecord,
    Signal,
    Tick,
    partition_for,
    stream_key,
)
from stream.wire.ids import alert_id, bucket_finding_id, event_finding_id
from support.protocol.parts import BUCKET_SECONDS, KAFKA, TENANTS, WATCH, LengthDetector, level_detectors
from support.protocol.record import Read, Record

__all__ = ["Alerts", "Inference", "Watched", "bucket_findings", "opened"]

_DIGITS = re.compile(r"\d{4,}")


class Inference:
    """The de-duplicated record of inference, and what each event of it is owed."""

    def __init__(self, record: Record) -> None:
        self.events: dict[str, Event] = {}
        self.gaps: dict[str, GapRecord] = {}
        for event in record.events(KAFKA.names.inference):
            if isinstance(event.data, RequestRecord | ResponseRecord):
                self.events.setdefault(event.id, event)
            elif isinstance(event.data, GapRecord):
                self.gaps.setdefault(event.id, event.data)

    def owed(self) -> dict[tuple[str, str], str]:
        """Return {(event id, detector): label} of what is owed."""
        labels = {}
        for event in self.events.values():
            text = text_of(event)
            label = "error" if "RAISE" in text else "found" if _DIGITS.search(text) else "clear"
            labels |= {(event.id, name): label for name in (event.data.owed if text else ())}
        return labels

    def findings(self) -> set[str]:
        """Return the ids of the findings about single events."""
        found = ((event_id, name) for (event_id, name), label in self.owed().items() if label == "found")
        return {event_finding_id(event_id, name, "test-1") for event_id, name in found}


def text_of(event: Event) -> str:
    """Return the text that detectors see."""
    data: Any = event.data
    return data.text() if isinstance(data, RequestRecord) else data.text


class Watched:
    """One pass over each partition of signals from zero: findings by id, states by key, and whether an event came too late."""

    def __init__(self, record: Record) -> None:
        self.findings: dict[str, FindingRecord] = {}
        self.states: dict[str, bytes] = {}
        self.late: set[str] = set()
        self.watermarks: dict[int, float] = {}
        for number in range(KAFKA.stream_partitions):
            self._pass(number, record.partition(KAFKA.names.signals, number))

    def _pass(self, number: int, log: Iterable[Read]) -> None:
        rules = WatchRules(
            partitions=KAFKA.partitions,
            source_silence_seconds=WATCH.source_silence_seconds,
            tenants=lambda tenant: tenant_settings(TENANTS, tenant),
            detectors=level_detectors,
        )
        machine, silence = PartitionWatch(rules), _silences(number)
        held: set[str] = set()
        for read in log:
            event = read.event
            if event is not None and isinstance(event.data, Signal):
                offer = machine.offer(event, None)
                if offer is Offer.HELD:
                    held.add(event.id)
                elif event.id not in held:
                    self.late.add(event.id)
            elif event is not None and isinstance(event.data, Tick):
                if silence is not None:
                    self._found(silence.apply(event.data, read.stored.offset))
                if machine.tick(event.data):
                    for closed in machine.closed():
                        self._found(closed.findings)
                        self.states[closed.key] = closed.state
        self.watermarks[number] = machine.watermark.value or 0.0

    def _found(self, events: Iterable[Event]) -> None:
        for event in events:
            assert isinstance(event.data, FindingRecord)
            self.findings[event.id] = event.data


def _silences(number: int) -> SourceLiveness | None:
    if number != partition_for(OWN_STREAM, KAFKA.stream_partitions):
        return None
    own = tenant_settings(TENANTS, OWN_TENANT)
    return SourceLiveness(LivenessRules.of(KAFKA, own, WATCH.source_silence_seconds))


def bucket_findings(
    signals: Iterable[Event], watermarks: dict[int, float]
) -> dict[str, tuple[float, dict[str, float]]]:
    """Return {finding id: (statistic, details)} of a sorted pass over all signals, with no machine of ours.

    Up to the watermark of each signals partition: later buckets are open.
    """
    empty = tenant_settings(TENANTS, "").alerts.close_windows
    by_stream: dict[str, dict[str, Signal]] = {}
    for event in signals:
        assert isinstance(event.data, Signal)
        key = stream_key(event.data.tenant, event.data.model, event.data.side)
        by_stream.setdefault(key, {})[event.id] = event.data
    result = {}
    for key, of_stream in by_stream.items():
        ordered = sorted(of_stream.values(), key=lambda signal: (signal.time, signal.event_id))
        buckets = {
            number: [observation_of(signal) for signal in group]
            for number, group in groupby(ordered, key=lambda signal: int(signal.time // BUCKET_SECONDS))
        }
        detector = LengthDetector()
        edge = int(watermarks[partition_for(key, KAFKA.stream_partitions)] // BUCKET_SECONDS)
        wanted = {number + step for number in buckets for step in range(empty + 1)}
        for number in sorted(number for number in wanted if number < edge):
            finding = detector.update_many(buckets.get(number, []))
            assert finding is not None
            result[bucket_finding_id(key, "drift", number)] = (finding.statistic, finding.details)
    return result


class Alerts:
    """One pass over each partition of findings from zero: alert records by id, and the states."""

    def __init__(self, record: Record) -> None:
        self.records: dict[str, Event] = {}
        self.states: dict[str, StreamAlerts] = {}
        for number in range(KAFKA.stream_partitions):
            self._pass(record.partition(KAFKA.names.findings, number))

    def _pass(self, log: Iterable[Read]) -> None:
        states: dict[str, StreamAlerts] = {}
        for read in log:
            data = read.event.data if read.event is not None else None
            if isinstance(data, Tick) and data.watermark is not None:
                for state in states.values():
                    self._told(_alerting(state.tenant).watermark(state, data.watermark, read.stored.offset))
            elif isinstance(data, FindingRecord):
                assert read.event is not None
                key = stream_key(data.tenant, data.model, data.side)
                fresh = StreamAlerts(tenant=data.tenant, model=data.model, side=data.side)
                state = states.setdefault(key, fresh)
                self._told(_alerting(data.tenant).finding(state, read.event, read.stored.offset))
        self.states |= states

    def _told(self, events: Iterable[Event]) -> None:
        for event in events:
            self.records[event.id] = event


def _alerting(tenant: str) -> Alerting:
    return Alerting(tenant_settings(TENANTS, tenant), lambda _id, _detector, tipping, _others: tipping)


def opened(record: Record) -> Iterator[tuple[str, int]]:
    """Yield (alert id, findings) of single-event alerts by a plain pass: one opens on the first finding after quiet."""
    quiet = tenant_settings(TENANTS, "").alerts.resolve_after_seconds
    for number in range(KAFKA.stream_partitions):
        last: dict[tuple[str, str], tuple[float, str, int]] = {}
        seen: set[str] = set()
        for event in (read.event for read in record.partition(KAFKA.names.findings, number)):
            if event is None:
                continue
            if isinstance(event.data, Tick) and event.data.watermark is not None:
                for slot, (time, identity, count) in list(last.items()):
                    if event.data.watermark >= time + quiet:
                        yield identity, count
                        del last[slot]
            elif isinstance(event.data, FindingRecord) and event.data.bucket is None and event.id not in seen:
                seen.add(event.id)
                key = stream_key(event.data.tenant, event.data.model, event.data.side)
                slot = (key, event.data.detector)
                time, identity, count = last.get(slot, (0.0, alert_id(key, event.data.detector, event.id), 0))
                last[slot] = (max(time, event.data.time), identity, count + 1)
        yield from ((identity, count) for _, identity, count in last.values())
