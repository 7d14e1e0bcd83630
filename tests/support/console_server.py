"""The console with a real ledger on a real broker, and the records that they read."""

import asyncio
import contextlib
import time

import httpx

from stream.kafka.tail import Tail
from stream.wire import LogRange, RetrainingRecord, decode
from support import alert_records
from support.alert_log import bucket_finding
from support.console_page import connects
from support.events import event_of, tick
from support.kafka_log import fresh_topics, sender, until
from support.ledger_log import end, forwarded, request, verdict
from support.running_ledger import running_ledger
from support.stack import free_port
from weir.console.server import Console
from weir.console.sessions import ensure_token
from weir.settings import Settings


def alert(alert_id="al_1", *, evidence=("r1",), detector="toxicity"):
    fields = {"detector": detector, "evidence": evidence, "evidence_total": len(evidence)}
    return alert_records.event(alert_records.alert(alert_id, **fields, **alert_records.now()))


def retraining():
    log = LogRange(topic="weir.inference", first={"0": 0}, last={"0": 9})
    decided = {"state": "suppressed", "reason": "agree: 1 of 2 detectors", "at": time.time()}
    where = {"tenant": "acme", "model": "m", "alert_ids": ("al_1",)}
    data = RetrainingRecord(retraining_id="rt_1", data=log, **decided, **where)
    return event_of(data, "rt_1", data.at, source="weir/watch")


class ConsoleClient:
    """A program that calls the console with its token."""

    def __init__(self, settings, client):
        self.settings = settings
        self.kafka = settings.kafka
        self.home = settings.home
        self.client = client

    async def get(self, path, **parameters):
        answer = await self.client.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    async def until(self, what, path, check):
        async def found():
            answer = await self.client.get(path)
            return answer.json() if answer.status_code == 200 and check(answer.json()) else None

        return await until(what, found)

    async def topic(self, name):
        """Return all records of a topic, as (partition, key, data)."""
        async with contextlib.aclosing(Tail(self.kafka.client_options(), name, follow=False).records()) as records:
            return [(one.partition, one.key, decode(one.value, one.headers).data) async for one in records]


@contextlib.asynccontextmanager
async def running_console(bootstrap, home, **sections):
    """Run the ledger of `home` and its console, with the settings `sections`, on new topics."""
    kafka = await fresh_topics(bootstrap)
    port, health = free_port(), {}
    settings = Settings(kafka=kafka.model_dump(), console={"port": port}, **sections)
    settings = settings.model_copy(update={"home": home, "kafka": kafka})
    headers = {"authorization": f"Bearer {ensure_token(home)}"}
    async with (
        running_ledger(home, kafka, health, silence_seconds=3600),  # no source sends ticks later
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
    ):
        console = Console(settings, port, health).start()
        try:
            await until("the console answers", lambda: connects(port))
            yield ConsoleClient(settings, client)
        finally:
            await asyncio.to_thread(console.stop)


async def send(console):
    """Send one request per partition with its verdicts, an alert, windows, and a retraining event."""
    now, names = time.time(), console.kafka.names
    async with sender(console.kafka) as to:
        for partition, name in enumerate(("r0", "r1")):
            asked, ended = request(name, now), end(name, now + 0.5)
            await to.send(names.inference, asked, ended, tick(now + 1), partition=partition)
            toxic = verdict(asked, "toxicity", flagged=True, label="toxic")
            passed = forwarded({"s1": now + 1}, partition=partition)
            verdicts = [verdict(asked, "pii"), toxic, verdict(ended, "pii"), passed]
            await to.send(names.verdicts, *verdicts, partition=partition)
        await to.send(names.alerts, alert())
        await to.send(names.findings, *(bucket_finding(number, alarm=number > 3) for number in range(6)))
        await to.send(names.retraining, retraining())


async def send_drift(kafka, earlier, recent, alert_id="al_drift"):
    """Send requests with the prompts `earlier`, then with `recent`, and a drift alert whose evidence is the recent ones."""
    now, names = time.time(), kafka.names
    requests = [
        request(f"{name}{number}", at, text=prompt, owed=())
        for name, at, prompts in (("earlier", now - 60, earlier), ("recent", now - 1, recent))
        for number, prompt in enumerate(prompts)
    ]
    evidence = tuple(event.data.request_id for event in requests[len(earlier) :])
    async with sender(kafka) as to:
        await to.send(names.inference, *requests)
        await to.send(names.alerts, alert(alert_id, evidence=evidence, detector="drift"))
