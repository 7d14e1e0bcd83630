"""Verdicts, alerts and traces of a request; unreadable messages become dead letters; text is only on weir.inference."""

import asyncio
import contextlib
import json
import sqlite3
import uuid
from pathlib import Path

import httpx
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from support.load import send
from support.stack import until
from support.traces import spans_when

from stream.kafka.admin import list_topics
from stream.wire import readable
from weir import Client

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
SECRET = "My card number is 4111 1111 1111 1111 and my mail is jane.roe@example.org"
TOXIC = "You are a worthless idiot and everyone hates you, shut up and die."


def bootstrap(stack):
    return f"127.0.0.1:{json.loads((stack.home / 'ports.json').read_text())['broker']}"


async def alert_of(stack, tenant, detector, state="firing", side="input"):
    """Wait until an alert on the prompts, or on the other `side`, of `tenant` has `state`; return it as `weir alerts` prints it."""
    wanted = (tenant, detector, side, state)
    following = Client(bootstrap_servers=bootstrap(stack)).alerts(since="10m")
    async with asyncio.timeout(120), contextlib.aclosing(following) as alerts:
        async for alert in alerts:
            if (alert.tenant, alert.detector, alert.side, alert.state) == wanted:
                break
    printed = await asyncio.to_thread(stack.json_lines, "alerts")
    return next(item for item in printed if (item["alert_id"], item["state"]) == (alert.alert_id, state))


async def ask(stack, key, prompt):
    outcome = await send(stack.url, key, "whole", prompt)
    assert outcome.status == 200
    return outcome.request_id


async def test_a_prompt_has_a_verdict_an_alert_and_one_trace(stack):
    key = stack.new_key("e2e-alert")
    personal = await ask(stack, key, SECRET)
    toxic = await ask(stack, key, TOXIC)
    for detector, request_id in (("pii", personal), ("toxicity", toxic)):
        alert = await alert_of(stack, "e2e-alert", detector)
        assert request_id in alert["evidence"]
        story = stack.json("show", request_id)
        assert alert["alert_id"] in story["alert_ids"]
        verdict = next(v for v in story["verdicts"] if v["detector"] == detector and v["side"] == "input")
        assert verdict["flagged"]
        spans = await asyncio.to_thread(
            spans_when, stack, story["trace_id"], {f"evaluate {detector}", f"alert {detector}"}
        )
        attributes = json.dumps([span.attributes for span in spans])
        assert not any(content in attributes for content in ("4111 1111", "jane.roe", "worthless"))
    types = {span["type"] for v in stack.json("show", personal)["verdicts"] for span in v["spans"]}
    assert {"CREDIT_CARD", "EMAIL_ADDRESS"} <= types


async def test_the_client_yields_new_alerts(stack):
    key = stack.new_key("e2e-client")

    async def first():
        settings = {"bootstrap_servers": bootstrap(stack)}
        async for alert in Client(**settings).alerts(since="1m"):
            if alert.tenant == "e2e-client":
                return alert
        return None

    waiting = asyncio.create_task(first())
    await ask(stack, key, TOXIC)
    alert = await asyncio.wait_for(waiting, 60)
    assert (alert.detector, alert.state) == ("toxicity", "firing")


async def test_an_alert_resolves_if_event_time_advances_without_findings(stack):
    key = stack.new_key("e2e-resolve")
    await ask(stack, key, TOXIC)
    alert = await alert_of(stack, "e2e-resolve", "toxicity", "resolved")
    assert alert["resolved_at"] > alert["opened_at"]


async def test_unreadable_messages_become_dead_letters_and_others_are_processed(stack):
    key = stack.new_key("e2e-garbage")
    canary = f"garbage-{uuid.uuid4().hex}"
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap(stack))
    await producer.start()
    try:
        for partition in range(8):
            await producer.send_and_wait("weir.inference", canary.encode(), partition=partition)
    finally:
        await producer.stop()
    request_id = await ask(stack, key, "What is a good soup?")
    story = await asyncio.to_thread(
        until,
        "verdicts beside unreadable messages",
        lambda: len((s := stack.json("show", request_id))["verdicts"]) >= 7 and s,
    )
    assert story["end"]["status"] == "complete"
    letters = await asyncio.wait_for(read_all(stack, "weir.inference.dlq", lambda found: len(found) >= 8), 60)
    mine = [letter for letter in letters if letter.value == canary.encode()]
    assert len(mine) >= 8
    headers = dict(mine[0].headers)
    assert headers["__weir.errors.topic"] == b"weir.inference"
    assert headers["__weir.errors.disposition"] == b"decode"


async def read_all(stack, topic, enough=None):
    """Read `topic` from its start to its present end, or until `enough`."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap(stack), auto_offset_reset="earliest")
    await consumer.start()
    found = []
    try:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(part) < end for part, end in ends.items()]) or (
            enough and not enough(found)
        ):
            batches = await consumer.getmany(timeout_ms=500)
            found += [record for records in batches.values() for record in records]
    finally:
        await consumer.stop()
    return found


async def test_text_is_only_on_the_inference_topic_and_in_the_spool(stack):
    """The text is in a chat, and in a completion whose answer begins with its prompt."""
    canary, key = f"canary{uuid.uuid4().hex}", stack.new_key("e2e-text")
    text = f"Please repeat the word {canary} and mail jane.{canary}@example.org, you idiot."
    chat = {"messages": [{"role": "user", "content": text}]}
    completion = {"prompt": text, "echo": True}
    requests = []
    for path, body, side in (("chat/completions", chat, "input"), ("completions", completion, "output")):
        async with httpx.AsyncClient(timeout=300, headers={"authorization": f"Bearer {key}"}) as client:
            sent = {"model": "smollm2-135m-instruct", "max_tokens": 1} | body
            requests.append((await client.post(f"{stack.url}/v1/{path}", json=sent)).headers["x-request-id"])
        assert requests[-1] in (await alert_of(stack, "e2e-text", "pii", side=side))["evidence"]
        trace = stack.json("show", requests[-1])["trace_id"]
        assert canary not in repr(await asyncio.to_thread(spans_when, stack, trace, {"evaluate pii", "alert pii"}))
    await asyncio.to_thread(stack.complete)
    options = {"bootstrap_servers": bootstrap(stack)}
    records = {info.topic: await read_all(stack, info.topic) for info in await list_topics(options, "weir.")}
    events = [event for record in records.pop("weir.inference") if (event := readable(record.value, record.headers))]
    assert {event.id for event in events if canary in getattr(event.data, "text", "")} == {
        *(f"{request_id}/request" for request_id in requests),
        f"{requests[1]}/end",
    }
    del records["weir.inference.dlq"]
    written = {topic for topic, found in records.items() if requests[1] in repr(found)}
    assert {"weir.verdicts", "weir.signals", "weir.findings", "weir.alerts"} <= written
    assert [topic for topic, found in records.items() if canary in repr(found)] == []
    for path, content in files(stack):
        assert canary.encode() not in content, path
    for target in json.loads((stack.home / "prometheus-targets.json").read_text()):
        for address in target["targets"]:
            assert canary not in httpx.get(f"http://{address}/metrics", timeout=10).text


def files(stack):
    """Yield every file of the stack except the spool and the broker's logs."""
    run = {path.resolve() for path in stack.home.iterdir() if path.is_symlink()}
    for root in (stack.home, *run):
        for path in Path(root).rglob("*"):
            inside = path.relative_to(root).parts
            if inside[0] in {"spool", "kafka", "broker"} or not path.is_file() or path.is_symlink():
                continue
            yield path, path.read_bytes()
    for database in (stack.home / "ledger").glob("*.db"):
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            yield database, "\n".join(connection.iterdump()).encode()


def test_nothing_listens_beyond_loopback(stack):
    pids = set()
    for component in stack.status()["components"]:
        if component["pid"]:
            process = psutil.Process(component["pid"])
            pids |= {process.pid, *(child.pid for child in process.children(recursive=True))}
    bound = [c for c in psutil.net_connections("inet") if c.pid in pids and c.status in {"LISTEN", "NONE"}]
    assert len(bound) > 10
    beyond = [
        c for c in bound if c.laddr and not (c.laddr.ip.startswith("127.") or c.laddr.ip in {"::1", "::ffff:127.0.0.1"})
    ]
    assert beyond == []
