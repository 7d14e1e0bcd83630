"""The expected results of a world's log, from plain calculations or from one uninterrupted pass of the state machines over the log."""

import re
from itertools import groupby

from stream.stages.alert.machine import Alerting
from stream.stages.alert.state import StreamAlerts
from stream.stages.watch.buckets import Offer, observation_of
from stream.stages.watch.machine import PartitionWatch, WatchRules
from stream.stages.watch.source_liveness import OWN_STREAM, LivenessRules, SourceLiveness
from stream.wire import (
    OWN_TENANT,
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
from support.protocol.parts import BUCKET_SECONDS, KAFKA, WATCH, LengthDetector, length_detectors, tenant

_DIGITS = re.compile(r"\d{4,}")


class Inference:
    """The deduplicated inference records, and the expected verdicts of each event."""

    def __init__(self, record):
        self.events = {}
        self.gaps = {}
        for event in record.events(KAFKA.names.inference):
            if isinstance(event.data, RequestRecord | ResponseRecord):
                self.events.setdefault(event.id, event)
            elif isinstance(event.data, GapRecord):
                self.gaps.setdefault(event.id, event.data)

    def owed(self):
        """Return {(event id, detector): label} of the expected verdicts."""
        labels = {}
        for event in self.events.values():
            text = event.data.text
            label = "error" if "RAISE" in text else "found" if _DIGITS.search(text) else "clear" if text else "ok"
            labels |= {(event.id, name): label for name in event.data.owed}
        return labels

    def findings(self):
        """Return the ids of the expected findings about single events."""
        found = (pair for pair, label in self.owed().items() if label == "found")
        return {event_finding_id(event_id, name, "test-1") for event_id, name in found}


class Watched:
    """One pass over each partition of signals from offset 0: findings by id, states by key, ids of late events, removed streams, watermarks."""

    def __init__(self, record):
        self.findings = {}
        self.states = {}
        self.late = set()
        self.removed = []
        self.watermarks = {}
        for number in range(KAFKA.stream_partitions):
            self._pass(number, record.partition(KAFKA.names.signals, number))

    def _pass(self, number, log):
        rules = WatchRules(
            partitions=KAFKA.partitions,
            source_silence_seconds=WATCH.source_silence_seconds,
            tenants=tenant,
            detectors=length_detectors,
        )
        machine, silence, held = PartitionWatch(rules), _silences(number), set()
        for read in log:
            event = read.event
            if event is not None and isinstance(event.data, Signal):
                if machine.offer(event, None) is Offer.HELD:
                    held.add(event.id)
                elif event.id not in held:
                    self.late.add(event.id)
            elif event is not None and isinstance(event.data, Tick):
                if silence is not None:
                    self._found(silence.apply(event.data, read.stored.offset))
                removed = machine.remove_surplus()
                self.removed += removed
                for key in removed:
                    del self.states[key]
                for closed in machine.closed() if machine.tick(event.data) else ():
                    self._found(closed.findings)
                    self.states[closed.key] = closed.state
        self.watermarks[number] = machine.watermark.value or 0.0

    def _found(self, events):
        self.findings |= {event.id: event.data for event in events}


def _silences(number):
    if number != partition_for(OWN_STREAM, KAFKA.stream_partitions):
        return None
    return SourceLiveness(LivenessRules.of(KAFKA, tenant(OWN_TENANT), WATCH.source_silence_seconds))


def bucket_findings(signals, watermarks):
    """Return {finding id: (statistic, details)} of a sorted pass over all signals, without Weir's state machines.

    The pass ends at the watermark of each partition of signals: later buckets are open.
    """
    empty = tenant("").alerts.close_windows
    by_stream = {}
    for signal in signals:
        key = stream_key(signal.tenant, signal.model, signal.side)
        by_stream.setdefault(key, {})[signal.event_id] = signal
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
            result[bucket_finding_id(key, "drift", number)] = (finding.statistic, finding.details)
    return result


class Alerts:
    """One pass over each partition of findings from offset 0: alert records by id, and states by key."""

    def __init__(self, record):
        self.records = {}
        self.states = {}
        for number in range(KAFKA.stream_partitions):
            self._pass(record.partition(KAFKA.names.findings, number))

    def _pass(self, log):
        states, watermark = {}, None
        for read in log:
            data = read.event and read.event.data
            if isinstance(data, Tick) and data.watermark is not None:
                watermark = max(data.watermark, watermark or 0.0)
                for state in states.values():
                    self._keep(_alerting(state.tenant).watermark(state, watermark, read.stored.offset))
            elif isinstance(data, FindingRecord):
                fresh = StreamAlerts(tenant=data.tenant, model=data.model, side=data.side)
                state = states.setdefault(stream_key(data.tenant, data.model, data.side), fresh)
                self._keep(_alerting(data.tenant, watermark).finding(state, read.event, read.stored.offset))
        self.states |= states

    def _keep(self, events):
        self.records |= {event.id: event.data for event in events}


def _alerting(name, watermark=None):
    return Alerting(tenant(name), lambda _id, _detector, tipping, _others: tipping, watermark=watermark)


def opened(record):
    """Yield (alert id, count of findings) of alerts on single events: an alert opens on the first finding after a quiet period."""
    quiet = tenant("").alerts.resolve_after_seconds
    for number in range(KAFKA.stream_partitions):
        last, seen, now = {}, set(), 0.0
        for event in (read.event for read in record.partition(KAFKA.names.findings, number)):
            data = event and event.data
            if isinstance(data, Tick) and data.watermark is not None:
                now = max(data.watermark, now)
                for slot, (time, identity, count) in list(last.items()):
                    if now >= time + quiet:
                        yield identity, count
                        del last[slot]
            elif isinstance(data, FindingRecord) and data.bucket is None and event.id not in seen:
                seen.add(event.id)
                slot = (stream_key(data.tenant, data.model, data.side), data.detector)
                opening = event.id if now < data.time + quiet else f"{event.id}/{now:.6f}"
                time, identity, count = last.get(slot, (0.0, alert_id(*slot, opening), 0))
                last[slot] = (max(time, data.time, now), identity, count + 1)
        yield from ((identity, count) for _, identity, count in last.values())
