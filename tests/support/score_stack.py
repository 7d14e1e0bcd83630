"""The score app with cheap detectors on a test's own topics, and records as capture writes them."""

import asyncio
import uuid

from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.settings import DetectorSettings, ScoreSettings
from stream.stages.score_app import create_app
from stream.wire import Message, encode, inference_key, partition_for
from support.doubles import DOUBLES
from support.events import MEASURED, TRACE, a_request, an_end, event_of
from support.stage_lab import P, StageLab


def request(request_id, text="hello", *, at=100.0, owed=("pii", "toxicity", "injection"), **fields):
    data = a_request(request_id, text, principal="key-1", owed=owed, **fields)
    return _event(f"{request_id}/request", data, at)


def end(
    request_id,
    text="world",
    *,
    at=101.0,
    owed=("pii", "toxicity", "refusal"),
    status="complete",
    kind=None,
    context=(),
    **fields,
):
    messages = tuple(Message.of_text(role, content) for role, content in context)
    data = an_end(request_id, text, status, principal="key-1", context=messages, owed=owed, **MEASURED, **fields)
    return _event(f"{request_id}/end", data, at, kind)


def _event(event_id, data, at, kind=None):
    name, key = data.request_id, inference_key("acme", data.request_id)
    about = {"subject": name, "correlationid": name, "traceparent": TRACE}
    return event_of(data, event_id, at, source="s1", kind=kind, key=key, **about)


class ScoreLab(StageLab):
    """Weir's topics on one broker, and the score app."""

    def __init__(self, bootstrap, directory, tenants=None) -> None:
        super().__init__(bootstrap, directory, tenants)
        self.appended = dict.fromkeys(range(P), 0)

    def score_app(self, *, spec=DOUBLES, registry=None, **score):
        return create_app(
            self.kafka,
            DetectorSettings(),
            ScoreSettings(**{"deadline_seconds": 2, "explain_findings": 0, **score}),
            self.tenants,
            data_dir=self.directory / uuid.uuid4().hex[:6],
            registry=registry or CollectorRegistry(),
            tracer_provider=self.provider(),
            spec=spec,
        )

    async def append(self, *events, partition=None) -> None:
        """Write events or raw bytes to inference; write each tick to every partition."""
        async with self.producer() as producer:
            futures = []
            for event in events:
                if isinstance(event, bytes):
                    sent, places = {"value": event}, [partition or 0]
                else:
                    record = encode(event)
                    headers = [*record.headers, ("traceparent", TRACE.encode())]
                    sent = {"value": record.value, "key": record.key, "headers": headers}
                    places = range(P) if record.key is None else [partition_for(record.key, P)]
                for place in places if partition is None else [partition]:
                    futures.append(await producer.send(self.names.inference, partition=place, **sent))
                    self.appended[place] += 1
            await asyncio.gather(*futures)

    async def verdicts(self) -> list:
        return await self.records(self.names.verdicts, partitions=P)

    async def signals(self) -> list:
        return await self.records(self.names.signals)

    async def findings(self) -> list:
        return await self.records(self.names.findings)

    async def dead(self) -> list:
        return await self.read(self.names.dead_letters, 1)

    async def settled(self, app, seconds=60.0) -> None:
        """Wait until every record on inference is acknowledged."""

        async def all_settled() -> bool:
            tracker = app.acked_consumer.tracker
            places = {number: tracker.position(TP(self.names.inference, number)) or 0 for number in range(P)}
            return all(places[number] == self.appended[number] for number in range(P)) or None

        await self.eventually(all_settled, seconds)
