"""The console with a real ledger and a real broker: pages, reviews, approvals and silences."""

import asyncio
import json
import socket

import pytest
from support.console_server import connects, running_console, send
from support.kafka_log import sender, until

from stream.wire import Event, Feedback, RetrainingRecord, SilenceRecord, partition_for, tenant_model_key
from weir.console.server import Console
from weir.home.api_keys import create_key
from weir.settings import Settings

pytestmark = pytest.mark.kafka


@pytest.fixture
async def console(apache_broker, tmp_path):
    """The console with Apache Kafka; tests/browser has the embedded broker."""
    async with running_console(apache_broker.bootstrap, tmp_path) as console:
        yield console


async def test_the_console_shows_the_log(console):
    await send(console)
    found = await console.until(
        "verdicts", "/api/requests", lambda found: [len(row["verdicts"]) for row in found["requests"]] == [3, 3]
    )
    assert {row["request_id"] for row in found["requests"]} == {"r0", "r1"}
    assert "canary" not in json.dumps(found)
    story = await console.until("the alert", "/api/alerts/al_1", lambda found: found["retraining"])
    assert [row["request_id"] for row in story["evidence"]] == ["r1"]
    assert story["evidence"][0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    streams = await console.until(
        "windows", "/api/drift", lambda found: found["streams"] and found["streams"][0]["alarm"]
    )
    name = {key: streams["streams"][0][key] for key in ("tenant", "model", "side", "detector")}
    series = await console.get("/api/drift/series", since=0, until=1e9, **name)
    assert series["alarm"] == [False] * 4 + [True] * 2
    coverage = await console.get("/api/coverage")
    assert coverage["coverage"]["owed"] == coverage["coverage"]["settled"] == 6


async def test_a_review_is_published_to_the_partition_of_its_request_and_read_back(console):
    await send(console)
    await console.until("the alert", "/api/alerts", lambda found: found["alerts"])
    await console.until("the requests", "/api/requests", lambda found: len(found["requests"]) == 2)
    queue = await console.get("/api/alerts", unreviewed=True)
    assert [row["alert_id"] for row in queue["alerts"]] == ["al_1"]
    answer = await console.client.post("/api/feedback", json={"alert_id": "al_1", "label": "wrong"})
    assert (answer.status_code, answer.json()) == (202, {"object": "feedback", "request_id": "r1", "accepted": True})
    ((partition, _key, data),) = await console.topic(console.kafka.names.feedback)
    assert partition == 1, "the partition of the events of r1"
    assert isinstance(data, Feedback)
    assert (data.label, data.alert_id, data.detector, data.tenant) == ("wrong", "al_1", "toxicity", "acme")
    assert data.principal.startswith("console:")
    story = await console.until("the review", "/api/alerts/al_1", lambda found: found["reviews"])
    assert story["reviews"][0]["label"] == "wrong"
    assert (await console.get("/api/alerts", unreviewed=True))["alerts"] == []
    for body, status in [
        ({"alert_id": "al_1", "label": "maybe"}, 400),
        ({"alert_id": "al_1", "label": "right", "request_id": "r0"}, 422),
        ({"alert_id": "al_none", "label": "right"}, 404),
        ({"alert_id": "al_1", "label": "right", "text": "they said"}, 400),
    ]:
        assert (await console.client.post("/api/feedback", json=body)).status_code == status, body
    assert len(await console.topic(console.kafka.names.feedback)) == 1
    (line,) = (console.home / "logs" / "access.log").read_text().splitlines()
    logged = json.loads(line)
    assert (logged["command"], logged["alert_id"], logged["request_id"]) == ("console review", "al_1", "r1")


async def test_a_badly_rated_answer_is_queued_until_a_reviewer_corrects_it(console):
    await send(console)
    await console.until("the requests", "/api/requests", lambda found: len(found["requests"]) == 2)
    assert (await console.get("/api/answers"))["requests"] == []
    rating = Feedback(request_id="r1", tenant="acme", rating="down")
    event = Event(id="r1/feedback/u", source="g", type=Feedback.event_type, time=9.0, data=rating)
    async with sender(console.kafka) as to:
        await to.send(console.kafka.names.feedback, event)
    await console.until("the answer in the queue", "/api/answers", lambda found: found["requests"])
    for body, status in [
        ({"correction": "x" * 65_537}, 422),
        ({"correction": "x", "approved": True}, 422),
        ({"comment": "only this"}, 422),
        ({"text": "x"}, 400),
    ]:
        assert (await console.client.post("/api/requests/r1/review", json=body)).status_code == status, body
    answer = await console.client.post("/api/requests/r1/review", json={"correction": "canary-better", "comment": "no"})
    assert answer.status_code == 202
    await console.until("an empty queue", "/api/answers", lambda found: not found["requests"])
    assert (await console.get("/api/requests/r1"))["judgments"] == {"rated down": 1, "corrections": 1, "comments": 1}
    text = (await console.client.post("/api/requests/r1/text")).json()["text"]
    (correction,) = text["corrections"]
    assert (correction["answer"], correction["principal"].partition(":")[0]) == ("canary-better", "console")
    lines = (console.home / "logs" / "access.log").read_text().splitlines()
    assert [json.loads(line)["command"] for line in lines] == ["console review", "console text"]
    assert b"canary" not in b"".join(one.read_bytes() for one in (console.home / "ledger").glob("*.db*"))


async def test_retraining_is_approved_with_a_key_that_has_the_scope(console):
    key = tenant_model_key("acme", "m")
    data = RetrainingRecord(retraining_id="rt_9", state="requested", reason="x", tenant="acme", model="m", at=5.0)
    event = Event(id="rt_9", source="t", type=data.event_type, time=5.0, data=data, partitionkey=key)
    async with sender(console.kafka) as to:
        place = partition_for(key, console.kafka.stream_partitions)
        await to.send(console.kafka.names.retraining, event, partition=place)
    (_, other), (approver, right) = create_key(console.home, "acme"), create_key(console.home, "acme", ("approve",))
    path = "/api/retraining/rt_9/decision"
    assert (await console.client.post(path, json={"outcome": "approved", "key": other})).status_code == 403
    assert (await console.client.post(path, json={"outcome": "promoted", "key": right})).status_code == 400
    answer = await console.client.post(path, json={"outcome": "approved", "key": right, "reason": "fine"})
    assert (answer.status_code, answer.json()["by"], answer.json()["state"]) == (201, approver.id, "approved")
    await console.until("the approval", "/api/retraining", lambda found: "approved" in str(found["retraining"]))
    assert (await console.client.post(path, json={"outcome": "rejected", "key": right})).status_code == 201
    assert (await console.client.post(path, json={"outcome": "approved", "key": right})).status_code == 422
    lines = (console.home / "logs" / "access.log").read_text().splitlines()
    assert [json.loads(line)["result"] for line in lines] == ["denied", "allowed", "allowed", "refused"]
    assert right not in "".join(lines)


async def test_a_silence_of_the_console_is_published_as_by_the_command(console):
    await send(console)
    await console.until("the alert", "/api/alerts", lambda found: found["alerts"])
    made = await console.client.post("/api/silences", json={"alert_id": "al_1", "for": "2h", "reason": "load test"})
    assert made.status_code == 201
    await console.until("the alert is silenced", "/api/alerts", lambda found: found["alerts"][0]["silenced"])
    (held,) = (await console.get("/api/silences"))["silences"]
    assert (held["reason"], held["alert_id"]) == ("load test", "al_1")
    assert (await console.client.delete(f"/api/silences/{held['silence_id']}")).status_code == 200
    await console.until("the alert is not silenced", "/api/alerts", lambda found: not found["alerts"][0]["silenced"])
    records = [
        data
        for _partition, _key, data in await console.topic(console.kafka.names.alerts)
        if isinstance(data, SilenceRecord)
    ]
    assert [one.until > one.at for one in records][-1] is False
    lines = map(json.loads, (console.home / "logs" / "access.log").read_text().splitlines())
    logged = [(one["command"], one.get("alert_id") or one.get("silenced"), one["session"]) for one in lines]
    assert logged == [("console silence", "al_1", "token"), ("console unsilence", held["silence_id"], "token")]
    for body, status, message in [
        (
            {"alert_id": "al_1", "for": "1s", "reason": "x"},
            422,
            'a duration of 1s is out of bounds, 1m to 30d; give "for" as 30m',
        ),
        ({"alert_id": "al_1", "for": "2h", "reason": " "}, 422, "the reason has 0 characters"),
        ({"alert_id": "al_none", "for": "2h", "reason": "x"}, 404, "no alert 'al_none'"),
    ]:
        answer = await console.client.post("/api/silences", json=body)
        assert answer.status_code == status
        assert message in answer.json()["error"]


async def test_a_text_is_returned_on_request_and_the_access_is_logged(console):
    await send(console)
    await console.until("requests", "/api/requests", lambda found: len(found["requests"]) == 2)
    answer = await console.client.post("/api/requests/r1/text")
    assert answer.json()["text"]["prompt"] == "canary-prompt"
    assert answer.json()["text"]["answer"] == "canary-answer"
    (line,) = (console.home / "logs" / "access.log").read_text().splitlines()
    logged = json.loads(line)
    assert (logged["command"], logged["request_id"], logged["session"]) == ("console text", "r1", "token")
    assert (await console.client.post("/api/requests/r9/text")).status_code == 404
    assert len((console.home / "logs" / "access.log").read_text().splitlines()) == 1
    await until(
        "no text in the ledger",
        lambda: b"canary" not in b"".join(one.read_bytes() for one in (console.home / "ledger").glob("*.db*")),
    )


async def test_the_console_waits_for_a_port_that_is_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port, health = other.getsockname()[1], {}
        settings = Settings(console={"port": port}).model_copy(update={"home": tmp_path})
        console = Console(settings, port, health).start()
        reasons = await until("the health names a reason", lambda: health)
        (name,) = reasons
        assert name.startswith("waiting"), "a restart would not fix it"
        assert "console.port" in health[name]
    await until("an answer after the port is free", lambda: connects(port))
    await asyncio.to_thread(console.stop)
    assert health == {}
