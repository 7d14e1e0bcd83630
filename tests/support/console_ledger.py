"""A ledger on disk for the console: traffic like the demo's through the real stream detectors, and more alerts."""

import random
import time
import tomllib
import uuid
from pathlib import Path

import msgspec

from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from stream.ledger.queries.alert_pages import alert_of
from stream.ledger.store import LedgerStore
from stream.settings import KafkaSettings
from stream.stages.watch_app import stream_detectors
from stream.wire import AlertRecord, FindingRecord, Signal, Span, Tick, Usage, partition_for
from stream.wire.ids import alert_id
from support.demo_log import demo_log
from support.events import event_of
from support.ledger_log import Log, end, request, verdict
from support.watch_chain import Chain

PARTITIONS = 2
NAMES = KafkaSettings().names
EXPECTED = {"input": ("pii", "toxicity", "injection"), "output": ("pii", "toxicity", "refusal")}
MODEL = "smollm2-135m-instruct"
SPANS = {"pii": (Span(start=11, end=21, type="PERSON"), Span(start=30, end=47, type="EMAIL_ADDRESS"))}


def trace_of(name):
    """Return a trace id that depends on `name`."""
    return uuid.uuid5(uuid.NAMESPACE_OID, name).hex


def changed(event, **fields):
    """Return `event` with other fields in its data."""
    return msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **fields))


class LedgerMaker:
    """Writes the files of a ledger; every call commits."""

    def __init__(self, directory: Path, *, retention_seconds: float = float("inf")) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.store = LedgerStore(LedgerFiles(directory), NAMES, PARTITIONS, retention_seconds)
        self.log = Log()
        self._random = random.Random(1)

    def close(self):
        self.store.close()

    def apply(self, topic, *events, partition=0):
        self.store.apply([self.log.records(topic, *events, partition=partition)])

    def beat(self, log_time):
        """Write the heartbeat of a ledger that has read everything; its time is an hour ahead, so it is not too old in any test."""
        later = time.time() + 3600
        beat = Heartbeat(
            wall_time=later, log_time=log_time, advanced_at=later, caught_up=True, lag={NAMES.inference: 0}
        )
        self.store.decisions.beat(beat)

    def side(self, request_id, side, at, *, tenant="acme", flagged=(), model=MODEL):
        """Apply one event of a request and its expected verdicts."""
        make = request if side == "input" else self._end
        event = make(request_id, at, source="gateway", owed=EXPECTED[side], tenant=tenant, model=model)
        trace = f"00-{trace_of(request_id)}-b7ad6b7169203331-01"
        event = msgspec.structs.replace(event, traceparent=trace)
        partition = partition_for(request_id, PARTITIONS)
        self.apply(NAMES.inference, event, partition=partition)
        verdicts = [self._verdict(event, detector, detector in flagged) for detector in EXPECTED[side]]
        self.apply(NAMES.verdicts, *verdicts, partition=partition)

    def _end(self, request_id, at, **fields):
        usage = Usage(prompt_tokens=self._random.randint(8, 60), completion_tokens=self._random.randint(4, 64))
        latency = self._random.lognormvariate(-0.4, 0.4)
        event = end(request_id, at, **fields)
        return changed(event, usage=usage, latency_seconds=latency, time_to_first_token_seconds=latency / 5)

    def _verdict(self, event, detector, flagged):
        score = self._random.uniform(0.8, 1.0) if flagged else self._random.betavariate(1, 12)
        event = verdict(event, detector, version="3", label=detector if flagged else "ok", flagged=flagged)
        return changed(event, score=score, spans=SPANS.get(detector, ()) if flagged else ())

    def demo(self, *, seconds=1200.0, ordinary=420, odd=24, new=220, before=30.0):
        """Apply traffic that ended `before` seconds ago, and the results of the stages; return the stages."""
        start = time.time() - seconds - before
        tenants = tomllib.loads((Path(__file__).parents[2] / "weir.toml").read_text())["tenants"]
        log = demo_log(0, seconds=seconds, ordinary=ordinary, odd=odd, new=new, start=start)
        findings = [event.data for event in log if isinstance(event.data, FindingRecord)]
        detectors = {(finding.evidence[0], finding.side): finding.detector for finding in findings}
        for signal in (event.data for event in log if isinstance(event.data, Signal)):
            flagged = {detectors.get((signal.request_id, signal.side), "")}
            where = {"tenant": signal.tenant, "model": signal.model}
            self.side(signal.request_id, signal.side, signal.time, flagged=flagged, **where)
        chain = Chain(tenants, stream_detectors).run(log)
        self.tick(start, start + seconds)
        self.apply(NAMES.findings, *(event for event in chain.findings if not isinstance(event.data, Tick)))
        self.apply(NAMES.alerts, *map(_with_trace, chain.alerts))
        self.retraining(*(one.record for one in chain.decisions))
        self.beat(start + seconds)
        return chain

    def tick(self, first, last):
        """Advance the source, and score after it, to `last`."""
        for partition in range(PARTITIONS):
            for stage, topic in (("capture", NAMES.inference), ("score", NAMES.verdicts)):
                data = Tick(stage=stage, partition=partition, sources={"gateway": last})
                event = event_of(data, f"{stage}/{partition}/{last}", first, source="gateway")
                self.apply(topic, event, partition=partition)

    def alerts(self, count, *, newest=None, firing=0.02, evidence=("r1", "r2", "r3")):
        """Apply `count` alerts of many tenants, one per minute, most of them resolved."""
        newest = time.time() - 60 if newest is None else newest
        records = [self._alert(number, newest - 60.0 * number, firing, evidence) for number in range(count)]
        self.apply(NAMES.alerts, *(event_of(record, f"{record.alert_id}/0", record.opened_at) for record in records))

    def change(self, alert_id, at, **changes):
        """Apply a new record of a known alert."""
        known = alert_of(self.store.decisions.database, alert_id)
        data = msgspec.structs.replace(known, revision=known.revision + 1, at=at, **changes)
        self.apply(NAMES.alerts, event_of(data, f"{alert_id}/{data.revision}", at))

    def retraining(self, *records):
        """Apply retraining events."""
        events = (event_of(record, f"{record.retraining_id}/{record.state}", record.at) for record in records)
        self.apply(NAMES.retraining, *events)

    def windows(self, at, *, tenant, model, count=6, side="input", part="", detector="drift", model_version=""):
        """Apply windows of one stream up to `at`, the newest in alarm."""
        for number in range(count):
            ended = at - 30.0 * (count - 1 - number)
            data = FindingRecord(
                tenant=tenant, model=model, side=side, part=part, detector=detector, version="1", time=ended,
                bucket=int(ended // 30), bucket_seconds=30.0, alarm=number == count - 1, statistic=2.0 + number,
                limit=6.5, feature="embedding", events=9, model_version=model_version,
            )  # fmt: skip
            self.apply(NAMES.findings, event_of(data, f"{tenant}/{model}/{part}/{model_version}/{ended}", ended))

    def _alert(self, number, at, firing, evidence):
        fires = self._random.random() < firing
        detector = self._random.choice(("pii", "toxicity", "injection", "drift", "anomaly"))
        findings = self._random.randint(1, 40)
        return AlertRecord(
            alert_id=alert_id("many", detector, str(number)), state="firing" if fires else "resolved",
            detector=detector, severity="critical" if findings > 20 else "warning",
            tenant=f"tenant-{self._random.randint(1, 40):02d}", model=MODEL,
            side=self._random.choice(("input", "output")), opened_at=at, at=at + 300,
            resolved_at=None if fires else at + 300, summary=f"{findings} findings of {detector}, number {number}",
            evidence=evidence, evidence_total=findings, trace_id=trace_of(str(number)),
        )  # fmt: skip


def _with_trace(event):
    """Return an alert with a trace id; the stages create one only with telemetry."""
    if event.data.trace_id or not isinstance(event.data, AlertRecord):
        return event
    return changed(event, trace_id=trace_of(event.data.alert_id))
