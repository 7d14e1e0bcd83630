"""A ledger on disk as a stack leaves it, for the console: traffic like the demo's through the real detectors of streams, and more alerts."""

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
from stream.runbook import runbook_line
from stream.settings import KafkaSettings
from stream.stages.watch_app import stream_detectors
from stream.wire import (
    AlertRecord,
    Event,
    FindingRecord,
    RequestRecord,
    ResponseRecord,
    Signal,
    Span,
    Tick,
    Usage,
    Verdict,
    partition_for,
)
from stream.wire.ids import alert_id, verdict_id
from support.demo_log import demo_log
from support.ledger_log import Log
from support.watch_chain import Chain

PARTITIONS = 2
NAMES = KafkaSettings().names
OWED = {"input": ("pii", "toxicity", "injection"), "output": ("pii", "toxicity", "refusal")}
MODEL = "smollm2-135m-instruct"
SPANS = {"pii": (Span(start=11, end=21, type="PERSON"), Span(start=30, end=47, type="EMAIL_ADDRESS"))}
_KIND = {"input": RequestRecord, "output": ResponseRecord}


def trace_of(request_id):
    """Return the traceparent of a request."""
    return f"00-{uuid.uuid5(uuid.NAMESPACE_OID, request_id).hex}-b7ad6b7169203331-01"


class LedgerMaker:
    """Writes a ledger's files; `close` before a console reads what is not committed yet (nothing: every call commits)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.store = LedgerStore(LedgerFiles(directory), NAMES, PARTITIONS, float("inf"))
        self.log = Log()
        self._random = random.Random(1)

    def close(self):
        self.store.close()

    def beat(self, log_time):
        """Leave the heartbeat of a ledger that has read everything."""
        now = time.time()
        beat = Heartbeat(wall_time=now, log_time=log_time, advanced_at=now, caught_up=True, lag={NAMES.inference: 0})
        self.store.decisions.beat(beat)

    def side(self, request_id, side, at, *, tenant="acme", flagged=(), model=MODEL):
        """Take one event of a request and the verdicts that it is owed."""
        shared = {"request_id": request_id, "tenant": tenant, "model": model, "owed": OWED[side]}
        data = RequestRecord(prompt="the prompt", **shared) if side == "input" else self._end(shared)
        event_id = f"{request_id}/{'request' if side == 'input' else 'end'}"
        event = Event(
            id=event_id, source="gateway", type=data.event_type, time=at, data=data, traceparent=trace_of(request_id)
        )
        partition = partition_for(request_id, PARTITIONS)
        records = self.log.inference(event, partition=partition)
        verdicts = [self._verdict(event, side, detector, detector in flagged) for detector in OWED[side]]
        self.store.apply([records + self.log.verdicts(*verdicts, partition=partition)])

    def _end(self, shared):
        usage = Usage(prompt_tokens=self._random.randint(8, 60), completion_tokens=self._random.randint(4, 64))
        latency = self._random.lognormvariate(-0.4, 0.4)
        return ResponseRecord(
            status="complete", text="the answer", finish_reason="stop", usage=usage, latency_seconds=latency,
            time_to_first_token_seconds=latency / 5, **shared,
        )  # fmt: skip

    def _verdict(self, event, side, detector, flagged):
        score = self._random.uniform(0.8, 1.0) if flagged else self._random.betavariate(1, 12)
        data = Verdict(
            request_id=event.data.request_id, event_id=event.id, tenant=event.data.tenant, model=event.data.model,
            side=side, detector=detector, version="3", flagged=flagged, label=detector if flagged else "ok", score=score,
            spans=SPANS.get(detector, ()) if flagged else (),
        )  # fmt: skip
        name = verdict_id(event.id, detector, "3")
        return Event(id=name, source="weir/score", type=data.event_type, time=event.time, data=data)

    def demo(self, *, seconds=1200.0, ordinary=420, odd=24, new=220, before=30.0):
        """Take traffic that ended `before` seconds ago and what watch, alert and retrain made of it; return its chain."""
        start = time.time() - seconds - before
        tenants = tomllib.loads((Path(__file__).parents[2] / "weir.toml").read_text())["tenants"]
        log = demo_log(0, seconds=seconds, ordinary=ordinary, odd=odd, new=new, start=start)
        found = {(event.data.evidence[0], event.data.side): event.data.detector for event in log if _finding(event)}
        for event in log:
            if isinstance(event.data, Signal):
                one = event.data
                flagged = {found.get((one.request_id, one.side), "")}
                self.side(one.request_id, one.side, one.time, tenant=one.tenant, flagged=flagged, model=one.model)
        chain = Chain(tenants, stream_detectors).run(log)
        self.tick(start, start + seconds)
        self.store.apply([self.log.records(NAMES.findings, *_untick(chain.findings))])
        self.store.apply([self.log.records(NAMES.alerts, *map(_traced, chain.alerts))])
        self.retraining(*(one.record for one in chain.decisions))
        self.beat(start + seconds)
        return chain

    def tick(self, first, last):
        """Let the source, and score after it, come to `last`."""
        for partition in range(PARTITIONS):
            for stage, topic in (("capture", NAMES.inference), ("score", NAMES.verdicts)):
                data = Tick(stage=stage, partition=partition, sources={"gateway": last})
                event = Event(
                    id=f"{stage}/{partition}/{last}", source="gateway", type=data.event_type, time=first, data=data
                )
                self.store.apply([self.log.records(topic, event, partition=partition)])

    def alerts(self, count, *, newest=None, firing=0.02, evidence=("r1", "r2", "r3")):
        """Take `count` alerts of many tenants, one a minute, most of them resolved."""
        newest = time.time() - 60 if newest is None else newest
        events = [self._alert(number, newest - 60.0 * number, firing, evidence) for number in range(count)]
        self.store.apply([self.log.records(NAMES.alerts, *events)])

    def change(self, alert_id, at, **changes):
        """Take a new record of an alert that is known."""
        known = alert_of(self.store.decisions.database, alert_id)
        data = msgspec.structs.replace(known, revision=known.revision + 1, at=at, **changes)
        event = Event(id=f"{alert_id}/{data.revision}", source="weir/alert", type=data.event_type, time=at, data=data)
        self.store.apply([self.log.records(NAMES.alerts, event)])

    def retraining(self, *records):
        """Take retraining events."""
        events = [Event(id=f"{one.retraining_id}/{one.state}", source="w", type=one.event_type, time=one.at, data=one) for one in records]  # fmt: skip
        self.store.apply([self.log.records(NAMES.retraining, *events)])

    def windows(self, at, *, tenant, model, count=6, side="input", detector="drift"):
        """Take windows of one stream up to `at`, the newest in alarm."""
        for number in range(count):
            time = at - 30.0 * (count - 1 - number)
            data = FindingRecord(
                tenant=tenant, model=model, side=side, detector=detector, version="1", time=time, bucket=int(time // 30),
                bucket_seconds=30.0, alarm=number == count - 1, statistic=2.0 + number, limit=6.5, feature="embedding", events=9,
            )  # fmt: skip
            event = Event(id=f"{tenant}/{model}/{time}", source="w", type=data.event_type, time=time, data=data)
            self.store.apply([self.log.records(NAMES.findings, event)])

    def _alert(self, number, at, firing, evidence):
        fires = self._random.random() < firing
        detector = self._random.choice(("pii", "toxicity", "injection", "drift", "anomaly"))
        findings = self._random.randint(1, 40)
        record = AlertRecord(
            alert_id=alert_id("many", detector, str(number)),
            state="firing" if fires else "resolved",
            detector=detector,
            severity="critical" if findings > 20 else "warning",
            tenant=f"tenant-{self._random.randint(1, 40):02d}",
            model=MODEL,
            side=self._random.choice(("input", "output")),
            opened_at=at,
            at=at + 300,
            resolved_at=None if fires else at + 300,
            summary=f"{findings} findings of {detector} in prompts to {MODEL}, from 2 API keys in 3 windows of 30 s, number {number}",
            evidence=evidence,
            evidence_total=findings,
            trace_id=uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex,
            runbook=runbook_line(detector),
        )
        return Event(id=f"{record.alert_id}/0", source="weir/alert", type=record.event_type, time=at, data=record)


def _finding(event):
    return event.type == "weir.finding.v1"


def _untick(events):
    return [event for event in events if not isinstance(event.data, Tick)]


def _traced(event):
    """Give an alert a trace of its own, where the chain made none."""
    data = event.data
    if data.trace_id or not isinstance(data, AlertRecord):
        return event
    trace = uuid.uuid5(uuid.NAMESPACE_OID, data.alert_id).hex
    return msgspec.structs.replace(event, data=msgspec.structs.replace(data, trace_id=trace))
