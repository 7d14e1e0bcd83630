"""The intake from HTTP to the spool: new items, duplicates, halves of exchanges, errors, and kills."""

import asyncio
import base64
import json
import sqlite3

import pytest
from opentelemetry.trace import StatusCode
from support.cases import cases
from support.conventions import departures, exported
from support.gateway import KEY
from support.intake import REQUEST, RESPONSE, intake, kserve, litellm_failure, litellm_payload
from support.ledger_log import Log

from serving.capture.balance import read_balance
from serving.settings import CaptureSettings
from stream.ledger.queries.request_story import request_events
from stream.ledger.shard import Shard
from stream.wire import ErrorInfo, Usage
from stream.wire.trace import TraceParent


async def test_a_batch_of_logs_is_in_the_spool_when_it_is_answered(running, tmp_path):
    answer = await running.sent("/intake/litellm", json=[litellm_payload(), litellm_failure()])
    assert (answer.status_code, answer.json()) == (200, {"object": "intake", "accepted": 2, "repeated": 0})
    assert {end.status for _, end in running.exchanges().values()} == {"complete", "error"}
    assert read_balance(tmp_path / "home" / "spool").accepted == 4
    spans = {span.attributes["weir.request_id"]: span for span in running.exporter.get_finished_spans()}
    for event in running.events():
        span = spans[event.correlationid]
        assert TraceParent.parse(event.traceparent).trace_id == f"{span.context.trace_id:032x}"
        assert span.start_time == 1767225600_250_000_000
    assert len({span.context.trace_id for span in spans.values()}) == 2
    assert departures(exported(spans.values())) == []
    statuses = {(span.status.status_code, span.attributes.get("error.type")) for span in spans.values()}
    assert statuses == {(StatusCode.UNSET, None), (StatusCode.ERROR, "RateLimitError")}


async def test_a_log_that_is_sent_twice_is_recorded_once_after_a_restart_too(tmp_path):
    async with intake(tmp_path / "home") as running:
        await running.sent("/intake/litellm", json=[litellm_payload()])
        answer = await running.sent("/intake/litellm", json=[litellm_payload(), litellm_payload(id="another")])
        assert answer.json() | {"object": ""} == {"object": "", "accepted": 1, "repeated": 1}
    async with intake(tmp_path / "home") as running:
        answer = await running.sent("/intake/litellm", json=litellm_payload())
        assert answer.json()["repeated"] == 1
        assert len(running.exchanges()) == 2


@pytest.mark.parametrize("order", [("request", "response"), ("response", "request")])
async def test_two_halves_are_joined_to_one_exchange_in_either_order(running, order):
    bodies = {"request": REQUEST, "response": RESPONSE}
    for half in order:
        assert running.events() == []
        assert (await kserve(running, half, bodies[half])).json()["accepted"] == 1
    request, end = running.only()
    assert (request.text, request.owed) == ("Mail me at ann.lee@example.org", ("pii", "toxicity"))
    assert (end.text, end.status, end.owed) == ("ho", "complete", ("pii",))
    assert running.registry.get_sample_value("weir_intake_held_halves") == 0
    assert (await kserve(running, "response", RESPONSE)).json()["repeated"] == 1


async def test_a_stored_half_survives_a_restart_and_its_text_is_deleted_when_it_is_recorded(tmp_path):
    home = tmp_path / "home"
    async with intake(home) as running:
        assert (await kserve(running, "request", REQUEST)).status_code == 200
        assert (await kserve(running, "request", REQUEST)).json()["repeated"] == 1
    async with intake(home) as running:
        assert running.count("weir_intake_held_halves") == 1
        await kserve(running, "response", RESPONSE)
        assert running.only()[0].text == "Mail me at ann.lee@example.org"
        await running.pairer.record_overdue()
        files = list((home / "intake").iterdir())
        assert {path.name for path in files} >= {"halves.sqlite", "halves.sqlite-wal"}
        assert [path.name for path in files if b"ann.lee" in path.read_bytes()] == []


async def test_after_a_kill_between_request_and_end_a_retry_records_the_true_end(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_arguments, **_more):
        raise Killed

    home = tmp_path / "home"
    async with intake(home) as running:
        with monkeypatch.context() as context:
            context.setattr(running.recorder, "end", killed)
            with pytest.raises(Killed):
                await running.sent("/intake/litellm", json=litellm_payload())
    async with intake(home) as running:  # now the request has an aborted end, as the adopter of its spool writes it
        assert (await running.sent("/intake/litellm", json=litellm_payload())).json()["accepted"] == 1
        events = running.events()
    ends = [event for event in events if event.id.endswith("/end")]
    assert sorted(event.data.status for event in ends) == ["aborted", "complete"]
    assert len({event.id for event in events}) == 2
    for order in (ends, ends[::-1]):
        shard = Shard(":memory:")
        shard.apply(Log().inference(*(event for event in events if event not in ends), *order))
        (request_id,) = {event.correlationid for event in events}
        assert request_events(shard.database, request_id).end.status == "complete"
        shard.close()


async def test_a_half_whose_other_half_never_arrives_is_recorded_alone(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        await kserve(running, "request", REQUEST, identity="request")
        await kserve(running, "response", RESPONSE, identity="response")
        assert await running.pairer.record_overdue() == 0
        ends = {request.text: end for request, end in running.exchanges().values()}
        unanswered, unasked = ends["Mail me at ann.lee@example.org"], ends[""]
        assert (unanswered.status, unanswered.error) == ("error", ErrorInfo(kind="no_answer_told", status=502))
        assert (unasked.status, unasked.text, unasked.model) == ("complete", "ho", "qwen")


async def test_an_answer_that_arrives_after_the_time_limit_of_its_request_is_recorded_once(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        await kserve(running, "request", REQUEST)
        await running.pairer.record_overdue()
        for accepted in (1, 0, 0):
            late = await kserve(running, "response", RESPONSE)
            assert late.json()["accepted"] == accepted
            assert (await kserve(running, "request", REQUEST)).json()["repeated"] == 1
            await running.pairer.record_overdue()
        (request, unanswered), (_, end) = running.exchanges().values()
        assert (request.text, unanswered.error.kind) == ("Mail me at ann.lee@example.org", "no_answer_told")
        assert (end.status, end.text, end.owed) == ("complete", "ho", ("pii",))


async def test_a_request_that_arrives_after_the_time_limit_of_its_answer_is_recorded_once(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        await kserve(running, "response", RESPONSE)
        await running.pairer.record_overdue()
        for accepted in (1, 0, 0):
            late = await kserve(running, "request", REQUEST)
            assert late.json()["accepted"] == accepted
            assert (await kserve(running, "response", RESPONSE)).json()["repeated"] == 1
            await running.pairer.record_overdue()
        (_, answered), (request, end) = running.exchanges().values()
        assert (answered.status, answered.text) == ("complete", "ho")
        assert (request.text, request.owed) == ("Mail me at ann.lee@example.org", ("pii", "toxicity"))
        assert (end.status, end.error.kind) == ("error", "no_answer_told")


async def test_a_half_is_not_recorded_before_its_time_limit(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=60) as running:
        await kserve(running, "request", REQUEST)
        assert await running.pairer.record_overdue() == 0
        assert running.registry.get_sample_value("weir_intake_held_halves") == 1


async def test_readable_items_are_recorded_beside_unreadable_ones(running, caplog):
    answer = await running.sent("/intake/litellm", json=[{"id": "x"}, litellm_payload(), 7])
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["refused"]) == (422, 1, 2)
    assert [one["index"] for one in body["refusals"]] == [0, 2]
    assert "2 items are unreadable, the first at index 0: status is neither" in body["error"]["message"]
    assert running.count("weir_intake_items_total", format="litellm", outcome="refused") == 2
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "2 of 3 items of litellm with the API key k_1 are rejected, the first at index 0; the answer has the reasons"
    ]
    answer = await running.sent("/intake/litellm", json=[7])
    assert "1 item is unreadable, the first at index 0" in answer.json()["error"]["message"]
    running.only()


def deep(levels):
    return json.loads("[" * levels + "1" + "]" * levels)


@pytest.mark.parametrize(
    "bad",
    [
        {"messages": [{"role": "user", "content": deep(490)}]},
        {"error_information": {"error_code": "\u00b2"}, "status": "failure"},
        {"error_information": {"error_code": "9" * 5_000}, "status": "failure"},
        {"startTime": 1e303},
        {"startTime": 1e18, "endTime": 1e18},
    ],
    ids=["nested", "a superscript", "5,000 digits", "a time beyond floats", "a time beyond clocks"],
)
async def test_an_item_with_strange_values_does_not_affect_the_others(running, bad):
    batch = [litellm_payload(id="before"), litellm_payload(id="strange", **bad), litellm_payload(id="after")]
    answer = await running.sent("/intake/litellm", json=batch)
    body = answer.json()
    assert answer.status_code in (200, 422), body
    assert body["accepted"] + body.get("refused", 0) == 3
    assert body["accepted"] >= 2
    for span in running.exporter.get_finished_spans():
        assert 0 < span.start_time < 2**63


@pytest.mark.parametrize("field", ["model_group", "model"])
@pytest.mark.parametrize(
    ("name", "message"),
    [("m" * 257, "has 257 characters, the limit is 256"), ("a\x1fb", r"has the control character '\x1f'; remove it")],
)
async def test_a_name_that_no_key_of_a_stream_can_contain_is_rejected(running, field, name, message):
    batch = [litellm_payload(id="bad", **{field: name}), litellm_payload(id="good", **{field: "m" * 256})]
    answer = await running.sent("/intake/litellm", json=batch)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["refused"]) == (422, 1, 1)
    assert message in answer.json()["refusals"][0]["message"]
    running.only()


CASES, HUGE = cases(__file__), 2**63


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *CASES["numbers"],
        ({"completion_tokens": 10**400}, "completion_tokens is a number of 401 digits and is left out"),
    ],
    ids=["tokens", "seed", "negative", "digits"],
)
async def test_a_number_that_no_record_can_contain_is_left_out_and_named(running, caplog, changes, message):
    batch = [litellm_payload(id="before"), litellm_payload(id="strange", **changes), litellm_payload(id="after")]
    answer = await running.sent("/intake/litellm", json=batch)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 3)
    (warning,) = answer.json()["warnings"]
    assert warning["index"] == 1
    assert message in warning["message"]
    assert message in caplog.text
    taken = running.exchanges().values()
    assert len(taken) == 3
    assert sum(end.usage.prompt_tokens for _, end in taken) in (42, 28)
    assert {end.text for _, end in taken} == {"I cannot send mail."}
    assert stored_in_the_ledger(running) == 6


async def test_a_huge_count_from_kserve_is_left_out_and_named(running):
    counted = RESPONSE | {"usage": {"prompt_tokens": HUGE, "completion_tokens": 2}}
    await kserve(running, "request", REQUEST)
    answer = await kserve(running, "response", counted)
    assert (answer.status_code, answer.json()["warnings"][0]["index"]) == (200, 0)
    _, end = running.only()
    assert (end.text, end.usage) == ("ho", Usage(prompt_tokens=0, completion_tokens=2))
    assert stored_in_the_ledger(running) == 2


@pytest.mark.parametrize("code", ["99999999999999999999", "-1", "4", "\u00b2", "9" * 5_000])
async def test_a_status_that_http_does_not_have_is_500(running, code):
    strange = litellm_failure(error_information={"error_class": "Strange", "error_code": code})
    assert (await running.sent("/intake/litellm", json=[strange])).json()["accepted"] == 1
    assert running.only()[1].error == ErrorInfo(kind="Strange", status=500)
    assert stored_in_the_ledger(running) == 2


#: Among them: a clock that was never set, and microseconds that were read as nanoseconds.
@pytest.mark.parametrize("time", [1e303, -1.0, 10**400, 4e9, 0, 1.0, 1767225.601])
async def test_an_impossible_time_is_unknown(running, time):
    times = {"startTime": 1767225600.0, "endTime": time, "completionStartTime": time}
    assert (await running.sent("/intake/litellm", json=litellm_payload(**times))).json()["accepted"] == 1
    _, end = running.only()
    assert (end.latency_seconds, end.time_to_first_token_seconds) == (0.0, None)
    assert stored_in_the_ledger(running) == 2


@pytest.mark.parametrize(("field", "measured"), [("completionStartTime", (1.25, None)), ("endTime", (0.0, 0.5))])
async def test_a_time_before_the_start_is_unknown(running, field, measured):
    """Two clocks differ; 0 s would be the lowest latency that the anomaly detector compares."""
    start = 1767225600.0
    times = {"startTime": start, "completionStartTime": start + 0.5, "endTime": start + 1.25} | {field: start - 0.1}
    assert (await running.sent("/intake/litellm", json=litellm_payload(**times))).json()["accepted"] == 1
    _, end = running.only()
    assert (end.latency_seconds, end.time_to_first_token_seconds) == measured


def stored_in_the_ledger(running):
    """Return the number of the intake's events that a ledger stores, after decoding them from their bytes."""
    shard = Shard(":memory:")
    stored = shard.apply(Log().inference(*running.events()))
    shard.close()
    return stored


async def test_a_disk_that_fails_is_503_and_a_retry_is_recorded(running, monkeypatch):
    rows = running.pairer._rows

    def full(query, values=()):
        if query.startswith("INSERT OR IGNORE INTO done"):
            raise sqlite3.OperationalError("database or disk is full")
        return rows(query, values)

    monkeypatch.setattr(running.pairer, "_rows", full)
    answer = await running.sent("/intake/litellm", json=[litellm_payload()])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    monkeypatch.setattr(running.pairer, "_rows", rows)
    assert (await running.sent("/intake/litellm", json=[litellm_payload()])).json()["accepted"] == 1


async def test_waiting_bodies_are_bounded(running):
    async with running.app._turn:
        sent = [
            asyncio.create_task(running.sent("/intake/litellm", json=[litellm_payload(id=f"l{number}")]))
            for number in range(12)
        ]
        async with asyncio.timeout(10):
            while sum(task.done() for task in sent) < 4:  # noqa: ASYNC110 - an answer has no event
                await asyncio.sleep(0.01)
    assert sorted(answer.status_code for answer in await asyncio.gather(*sent)) == [200] * 8 + [503] * 4


async def test_a_full_spool_is_503_and_a_retry_records_the_rest(tmp_path):
    tight = CaptureSettings(limit_bytes=160_000, end_reserve_bytes=30_000, segment_bytes=20_000)
    batch = [litellm_payload(id=f"l{number}", response="x" * 20_000) for number in range(8)]
    async with intake(tmp_path / "home", capture=tight) as running:
        answer = await running.sent("/intake/litellm", json=batch)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        taken = len(running.exchanges())
        assert 0 < taken < 8
        assert read_balance(tmp_path / "home" / "spool").shed == 0
    async with intake(tmp_path / "home") as running:
        answer = await running.sent("/intake/litellm", json=batch)
        assert answer.json() | {"object": ""} == {"object": "", "accepted": 8 - taken, "repeated": taken}
        assert len(running.exchanges()) == 8
        assert read_balance(tmp_path / "home" / "spool").accepted == 16


async def test_halves_are_bounded(tmp_path):
    async with intake(tmp_path / "home", held_limit=1) as running:
        await kserve(running, "request", REQUEST, identity="a")
        answer = await kserve(running, "request", REQUEST, identity="b")
        assert answer.status_code == 503
        assert "0 of 1 halves (intake.held_limit)" in answer.text
        assert (await kserve(running, "response", RESPONSE, identity="a")).status_code == 200


@pytest.mark.parametrize(
    ("authorization", "tenant"),
    [
        (f"Bearer {KEY}", "acme"),
        ("Basic " + base64.b64encode(f"weir:{KEY}".encode()).decode(), "acme"),
        ("Bearer weir-other-key", "other"),
    ],
)
async def test_the_tenant_is_that_of_the_key(running, authorization, tenant):
    headers = {"authorization": authorization}
    answer = await running.sent("/intake/litellm", json=litellm_payload(), headers=headers)
    assert answer.status_code == 200
    assert running.only()[0].tenant == tenant


@pytest.mark.parametrize("path", ["/intake/litellm", "/intake/kserve", "/v1/traces", "/v1/logs"])
@pytest.mark.parametrize(
    ("authorization", "status"),
    [*((bad, 401) for bad in ("", "Bearer no", "Basic ?", "Basic /w==", b"Basic \xe9")), ("Bearer feedback-key", 403)],
)
async def test_without_a_valid_key_the_answer_is_401_and_without_the_scope_403(running, path, authorization, status):
    answer = await running.sent(path, json=litellm_payload(), headers={"authorization": authorization})
    assert (answer.status_code, "`weir keys create" in answer.text) == (status, True)
    assert running.events() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/intake/other", b"{}", 404, "use /intake/litellm, /intake/kserve, /v1/traces or /v1/logs"),
        ("/intake/litellm", b"<html>", 400, "6 bytes are not JSON"),
        ("/intake/litellm", b"x" * 2_000, 413, "larger than 1000 bytes"),
        ("/intake/kserve", b"{}", 422, "the CloudEvent has no id, source, type"),
    ],
)
async def test_errors_have_a_reason_and_a_fix(tmp_path, path, body, status, message):
    async with intake(tmp_path / "home", max_body_bytes=1_000) as running:
        answer = await running.sent(path, content=body)
        assert (answer.status_code, message in answer.json()["error"]["message"]) == (status, True)
        assert running.events() == []


async def test_overdue_halves_are_recorded_until_the_intake_is_stopped(tmp_path):
    async with intake(tmp_path / "home", pair_seconds=0.01) as running:
        stop = asyncio.Event()
        task = asyncio.create_task(running.app.run(stop))
        await kserve(running, "request", REQUEST)
        async with asyncio.timeout(10):
            while not running.events():  # noqa: ASYNC110 - the spool has no event
                await asyncio.sleep(0.02)
        stop.set()
        await task


async def test_no_text_is_in_a_span_or_a_response(running):
    body = json.dumps([litellm_payload(), litellm_failure(status="ann.lee@example.org")]).encode()
    answer = await running.sent("/intake/litellm", content=body)
    assert "ann.lee" not in answer.text
    assert "ann.lee" not in repr([span.to_json() for span in running.exporter.get_finished_spans()])


@pytest.mark.parametrize("value", [True, "0.5", [1], {}])
async def test_a_parameter_that_is_no_number_is_left_out(running, value):
    assert (await kserve(running, "request", REQUEST | {"temperature": value, "seed": 7})).status_code == 200
    await kserve(running, "response", RESPONSE)
    assert running.only()[0].parameters == {"seed": 7}
