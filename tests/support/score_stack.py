"""The score app over topics of a test's own, with cheap detectors, and records as capture writes them."""

import uuid

from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.settings import DetectorSettings, ScoreSettings, WatchSettings
from stream.stages.score.model_process import ModelSpec
from stream.stages.score_app import create_app
from stream.wire import (
    Closed,
    Event,
    Message,
    RequestRecord,
    ResponseRecord,
    Tick,
    Usage,
    encode,
    inference_key,
    partition_for,
)
from support import doubles
from support.stage_lab import P, StageLab

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DOUBLES = ModelSpec(
    threads=1, detectors=("pii", "toxicity", "injection", "refusal"), create=doubles.create, embedder=None
)


def request(request_id, text, *, at=100.0, owed=("pii", "toxicity", "injection"), tenant="acme", model="m"):
    data = RequestRecord(
        request_id=request_id,
        tenant=tenant,
        model=model,
        principal="key-1",
        messages=(Message(role="user", content=text),),
        owed=owed,
    )
    return _event(f"{request_id}/request", data, at, request_id)


def end(request_id, text, *, at=101.0, owed=("pii", "toxicity", "refusal"), status="complete", type_=None, context=()):
    data = ResponseRecord(
        request_id=request_id,
        tenant="acme",
        model="m",
        status=status,
        principal="key-1",
        text=text,
        context=tuple(Message(role=role, content=content) for role, content in context),
        usage=Usage(prompt_tokens=3, completion_tokens=5),
        latency_seconds=0.5,
        time_to_first_token_seconds=0.1,
        owed=owed,
    )
    return _event(f"{request_id}/end", data, at, request_id, type_)


def _event(event_id, data, at, request_id, type_=None):
    return Event(
        id=event_id,
        source="spool-1",
        type=type_ or data.event_type,
        time=at,
        data=data,
        subject=request_id,
        correlationid=request_id,
        traceparent=TRACE,
        partitionkey=inference_key("acme", request_id),
    )


def tick(at, source="spool-1"):
    return Event(
        id=f"tick/{source}/{at}", source=source, type=Tick.event_type, time=at, data=Tick(sources={source: at})
    )


def closed(at, source="spool-1"):
    data = Closed(source=source, time=at)
    return Event(id=f"closed/{source}", source=source, type=Closed.event_type, time=at, data=data)


class ScoreLab(StageLab):
    """Weir's topics on one broker, and the score app."""

    def __init__(self, bootstrap, directory) -> None:
        super().__init__(bootstrap, directory)
        self.appended = dict.fromkeys(range(P), 0)

    def score_app(self, *, spec=DOUBLES, registry=None, **score):
        return create_app(
            self.kafka,
            DetectorSettings(),
            ScoreSettings(**{"deadline_seconds": 2, "explain_findings": 0, **score}),
            WatchSettings(),
            data_dir=self.directory / uuid.uuid4().hex[:6],
            registry=registry or CollectorRegistry(),
            tracer_provider=self.provider(),
            spec=spec,
        )

    async def append(self, *events, partition=None) -> None:
        """Write events to inference; raw bytes too, and ticks to every partition."""
        async with self.producer() as producer:
            for event in events:
                if isinstance(event, bytes):
                    await producer.send_and_wait(self.names.inference, event, partition=partition or 0)
                    self.appended[partition or 0] += 1
                    continue
                record = encode(event)
                keyless = record.key is None
                targets = range(P) if keyless and partition is None else [partition]
                for target in targets:
                    place = partition_for(record.key, P) if target is None else target
                    await producer.send_and_wait(
                        self.names.inference,
                        record.value,
                        key=record.key,
                        partition=place,
                        headers=[*record.headers, ("traceparent", TRACE.encode())],
                    )
                    self.appended[place] += 1

    async def verdicts(self) -> list:
        return await self.records(self.names.verdicts, partitions=P)

    async def signals(self) -> list:
        return await self.records(self.names.signals)

    async def findings(self) -> list:
        return await self.records(self.names.findings)

    async def dead(self) -> list:
        return await self.read(self.names.dead_letters, 1)

    async def settled(self, app, seconds=60.0) -> None:
        """Wait until everything on inference is settled."""

        async def all_settled() -> bool:
            tracker = app.acked_consumer.tracker
            places = {number: tracker.position(TP(self.names.inference, number)) or 0 for number in range(P)}
            return all(places[number] == self.appended[number] for number in range(P)) or None

        await self.eventually(all_settled, seconds)
