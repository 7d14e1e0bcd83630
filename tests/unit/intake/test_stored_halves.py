"""Halves of exchanges in the database of intake: unreadable ones, and halves beside a clock with steps."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest
from support.intake import REQUEST, RESPONSE, intake, kserve, litellm_payload
from support.otlp import PROTOBUF, encoded, log, logs, span, traces

from serving.errors import ServingError


@pytest.mark.parametrize(
    "bad", [b'{"request": {"parameters": {"seed": true}}', b"{", b"[]", b"\xff", b'{"request": 3}']
)
async def test_a_stored_half_that_is_unreadable_is_dropped_and_counted(tmp_path, bad, caplog):
    home = tmp_path / "home"
    async with intake(home) as running:
        for identity in ("alone", "joined", "good"):
            await kserve(running, "request", REQUEST, identity=identity)
    with closing(sqlite3.connect(home / "intake" / "halves.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE held SET stored = ? WHERE rowid <= 2", (bad,))
    async with intake(home, pair_seconds=1e-9) as running:
        answer = await kserve(running, "response", RESPONSE, identity="joined")
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
        assert await running.pairer.record_overdue() == 0
        texts = {(request.text, end.text) for request, end in running.exchanges().values()}
        assert texts == {("Mail me at ann.lee@example.org", ""), ("", "ho")}
        assert running.registry.get_sample_value("weir_intake_unreadable_halves_total") == 2
        assert running.registry.get_sample_value("weir_intake_held_halves") == 0
    dropped = [record.getMessage() for record in caplog.records if "unreadable" in record.getMessage()]
    assert len(dropped) == 2
    assert "seed" not in "".join(dropped)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_step_of_the_clock_does_not_change_how_long_a_half_waits(tmp_path, monkeypatch, hours):
    wall = time.time
    async with intake(tmp_path / "home", pair_seconds=60) as running:
        await kserve(running, "request", REQUEST)
        monkeypatch.setattr(time, "time", lambda: wall() + hours * 3600)
        await running.pairer.record_overdue()
        assert running.count("weir_intake_held_halves") == 1
        await kserve(running, "response", RESPONSE)
        assert running.only()[1].status == "complete"


async def test_a_half_that_was_stored_by_a_clock_that_was_ahead_waits_no_longer_than_others(tmp_path, monkeypatch):
    wall = time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: wall() + 3600)
        async with intake(tmp_path / "home") as running:
            await kserve(running, "request", REQUEST)
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        await running.pairer.record_overdue()
        assert running.count("weir_intake_held_halves") == 0


async def test_an_exchange_that_was_recorded_by_a_clock_that_was_ahead_is_forgotten_as_others(tmp_path, monkeypatch):
    wall = time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: wall() + 3.2e8)
        async with intake(tmp_path / "home") as running:
            assert (await running.sent("/intake/litellm", json=litellm_payload())).json()["accepted"] == 1
    async with intake(tmp_path / "home", remember_hours=1e-9) as running:
        for _ in range(2):
            await running.pairer.record_overdue()
    with closing(sqlite3.connect(tmp_path / "home" / "intake" / "halves.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM done").fetchone() == (0,)


OTHER = {"authorization": "Bearer weir-other-key"}


async def halves_of_the_other_tenant(running, count, **request):
    answers = [
        (await kserve(running, "request", REQUEST | request, identity=f"o{number}", **OTHER)).status_code
        for number in range(count)
    ]
    return answers.count(200)


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_tenant_that_fills_its_share_leaves_room_for_the_halves_of_the_others(tmp_path, restarts):
    async with intake(tmp_path / "home", held_limit=10) as running:
        assert await halves_of_the_other_tenant(running, 5 if restarts else 10) == 5
        if not restarts:
            assert (await kserve(running, "request", REQUEST)).status_code == 200
    async with intake(tmp_path / "home", held_limit=10) as running:
        assert await halves_of_the_other_tenant(running, 7) == 5  # these are repeated
        answer = await kserve(running, "request", REQUEST | {"model": "m"}, identity="b", **OTHER)
        assert "5 halves of exchanges of the tenant other" in answer.text
        assert (await kserve(running, "request", REQUEST, identity="a")).status_code == 200


async def test_the_halves_are_bounded_in_bytes_too_and_a_completed_exchange_frees_them(tmp_path):
    text = {"messages": [{"role": "user", "content": "x" * 10_000}]}
    async with intake(tmp_path / "home", held_bytes=65_536) as running:
        assert await halves_of_the_other_tenant(running, 6, **text) == 3
        assert (await kserve(running, "request", REQUEST | text)).status_code == 200
        long = {"choices": [{"message": {"content": "y" * 20_000}}]}
        answer = await kserve(running, "response", long, identity="o0", **OTHER)
        assert answer.status_code == 200, "the tenant's share is full, but this half is not kept"
        assert await halves_of_the_other_tenant(running, 9, **text) == 4
        longer = {"choices": [{"message": {"content": "y" * 60_000}}]}
        answer = await kserve(running, "response", longer, identity="o1", **OTHER)
        assert (answer.status_code, "of 65536 bytes (intake.held_bytes)" in answer.text) == (503, True)


async def test_a_tenant_cannot_exceed_its_bytes_with_the_log_records_of_one_span(tmp_path):
    async with intake(tmp_path / "home", held_bytes=65_536) as running:
        await exported(running, logs(log("gen_ai.user.message", {"content": "x" * 25_000})))
        with pytest.raises(AssertionError, match="503"):
            await exported(running, logs(log("gen_ai.user.message", {"content": "y" * 25_000})))


async def exported(running, export):
    path = "/v1/traces" if "resourceSpans" in export else "/v1/logs"
    assert (await running.sent(path, content=encoded(export, PROTOBUF), headers={"content-type": PROTOBUF})).is_success


FIRST = logs(log("gen_ai.user.message", {"content": "first"}))
REST = logs(
    log("gen_ai.user.message", {"content": "second"}),
    log("gen_ai.choice", {"message": {"content": "ho"}, "finish_reason": "stop"}),
)
SPAN = traces(span({"gen_ai.operation.name": "chat"}))
WHOLE = traces(span({"gen_ai.operation.name": "chat", "gen_ai.input.messages": "first and second"}))


@pytest.mark.parametrize(
    ("before", "after", "texts"),
    [
        ((REST, SPAN), (FIRST, REST), {("second", "ho"), ("first", "")}),
        ((REST, WHOLE), (FIRST, REST), {("first and second", "")}),
    ],
    ids=["joined", "the span has the content"],
)
async def test_log_records_after_their_exchange_was_recorded_are_a_request_of_their_own(tmp_path, before, after, texts):
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        for export in (*before, *after, *after):
            await exported(running, export)
        await running.pairer.record_overdue()
        for export in after:
            await exported(running, export)
        await running.pairer.record_overdue()
        assert {(request.text, end.text) for request, end in running.exchanges().values()} == texts


OPTED_OUT = traces(span({"gen_ai.operation.name": "chat", "traceloop.association.properties.training": "false"}))
EVENT = logs(
    log(
        "gen_ai.client.inference.operation.details",
        attributes={"gen_ai.operation.name": "chat", "gen_ai.input.messages": "first"},
    )
)


@pytest.mark.parametrize(
    "order",
    [(OPTED_OUT, REST), (REST, OPTED_OUT), (OPTED_OUT, EVENT), (EVENT, OPTED_OUT), (OPTED_OUT, REST, FIRST)],
    ids=["span first", "log records first", "span before an event", "event before its span", "late prompt"],
)
async def test_log_records_that_are_not_joined_with_their_span_are_not_for_training(tmp_path, order):
    async with intake(tmp_path / "home", pair_seconds=1e-9) as running:
        for export in order:
            await exported(running, export)
            await running.pairer.record_overdue()
        assert {request.training for request, _ in running.exchanges().values() if request.text} == {False}


async def questions_exported(running, count):
    for number in range(1, count):
        await exported(running, logs(log("gen_ai.user.message", {"content": "a" * 300}, span_id=f"{number:016x}")))


LONG = {"content": "x" * 1000}
LONG_SPAN = traces(span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m" * 250}))


@pytest.mark.parametrize(
    ("stored", "last"),
    [((EVENT,), LONG_SPAN), ((FIRST, SPAN), logs(log("gen_ai.choice", {"message": LONG})))],
    ids=["span", "answer"],
)
async def test_the_last_part_of_an_exchange_is_accepted_although_the_share_of_its_tenant_is_full(
    tmp_path, stored, last
):
    async with intake(tmp_path / "home", held_bytes=65_536) as running:
        for export in stored:
            await exported(running, export)
        with pytest.raises(AssertionError, match="503"):
            await questions_exported(running, 200)
        with pytest.raises(AssertionError, match="503"):
            await exported(running, logs(log("gen_ai.system.message", LONG)))
        await exported(running, last)
        assert len(running.exchanges()) == 1


async def test_a_damaged_file_is_an_error_that_names_the_file_and_the_fix(tmp_path):
    path = tmp_path / "home" / "intake" / "halves.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ServingError, match=rf"{path}: file is not a database; .* move it away"):
        async with intake(tmp_path / "home"):
            pass


async def test_a_file_that_is_damaged_after_its_schema_is_503_and_an_error_that_names_the_file(tmp_path):
    home, path = tmp_path / "home", tmp_path / "home" / "intake" / "halves.sqlite"
    async with intake(home) as running:
        await running.sent("/intake/litellm", json=[litellm_payload(id=f"l{number}") for number in range(200)])
    pages = path.read_bytes()
    path.write_bytes(pages[:20_480].ljust(len(pages), b"\xff"))  # without damage to the schema
    async with intake(home) as running:
        answer = await running.sent("/intake/litellm", json=litellm_payload())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        with pytest.raises(ServingError, match=rf"{path}: database disk image is malformed; .* move it away"):
            await running.app.run(asyncio.Event())
        assert len(running.exchanges()) == 200
