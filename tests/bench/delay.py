"""Time from the end of a response to its alert, at 20 events/s: through the spool, the shipper, Kafka, score and watch."""

import asyncio
import contextlib
import json
import secrets
import statistics
import time

from prometheus_client import CollectorRegistry
from support.events import choices
from support.kafka_log import until
from support.stack import Stack, running

from serving.capture.recorder import Recorder
from serving.settings import CaptureSettings
from stream.kafka.tail import Tail
from stream.wire import AlertRecord, Message, RequestRecord, ResponseRecord, Usage, decode
from stream.wire.ids import new_request_id

EVENTS = 300
PER_SECOND = 10.0  # requests; each is two events
TOXIC_EVERY = 5
TOXIC = "You are a worthless idiot and everyone hates you, shut up and die."
PLAIN = "The train leaves at nine and the museum opens at ten."


async def measure(stack: Stack, bootstrap: str) -> str:
    """Record events in a new source at a constant rate. Each toxic answer has its own tenant and so its own alert."""
    recorder = Recorder(root=stack.home / "spool", settings=CaptureSettings(), registry=CollectorRegistry())
    ended: dict[str, float] = {}
    fired: dict[str, float] = {}
    reading = asyncio.create_task(_read(bootstrap, fired))
    recorder.start()
    try:
        await _feed(recorder, ended)
        with contextlib.suppress(AssertionError):  # missing alerts are counted below
            await until("every alert", lambda: len(fired) == len(ended))
    finally:
        await asyncio.to_thread(recorder.close)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    delays = [fired[tenant] - at for tenant, at in ended.items() if tenant in fired]
    cuts = statistics.quantiles(delays, n=100) if len(delays) > 1 else [float("nan")] * 99
    return (
        f"{'end of a response to its alert, 20 events/s':58} p50 {cuts[49]:6.3f} s   p99 {cuts[98]:6.3f} s"
        f"   ({len(delays)} of {len(ended)} alerts)   aim p99 <= 1 s"
    )


async def _feed(recorder: Recorder, ended: dict[str, float]) -> None:
    run = secrets.token_hex(3)
    began = time.monotonic()
    for number in range(EVENTS // 2):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        toxic = number % TOXIC_EVERY == 0
        tenant = f"bench-{run}-{number}" if toxic else f"bench-{run}"
        trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
        where = {"request_id": new_request_id(), "tenant": tenant, "model": "bench", "principal": "bench"}
        messages = (Message.of_text("user", PLAIN),)
        request = RequestRecord(**where, messages=messages, owed=("pii", "toxicity", "injection"))
        recorder.request(request, traceparent=trace)
        response = ResponseRecord(
            **where,
            status="complete",
            messages=choices(TOXIC if toxic else PLAIN, "stop"),
            usage=Usage(prompt_tokens=12, completion_tokens=12),
            latency_seconds=0.5,
            owed=("pii", "toxicity", "refusal"),
        )
        recorder.end(response)
        if toxic:
            ended[tenant] = time.time()


async def _read(bootstrap: str, fired: dict[str, float]) -> None:
    tail = Tail({"bootstrap_servers": bootstrap}, "weir.alerts", since=time.time(), follow=True)
    async for record in tail.records():
        data = decode(record.value, record.headers).data
        if isinstance(data, AlertRecord) and data.detector == "toxicity":
            fired.setdefault(data.tenant, record.timestamp / 1000)


if __name__ == "__main__":
    with running() as stack:
        ports = json.loads((stack.home / "ports.json").read_text())
        print(asyncio.run(measure(stack, f"127.0.0.1:{ports['broker']}")))
