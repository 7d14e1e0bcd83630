import asyncio
import contextlib
import time

import httpx
import msgspec
import pytest
from support.console_page import served_console

from serving import http
from stream.ledger.decisions import Heartbeat
from stream.ledger.queries.console_queries import LedgerPages
from stream.wire import Event, Feedback, SilenceRecord
from weir.console import live_updates as live
from weir.console.app import console_app
from weir.console.live_updates import LiveEndpoint
from weir.console.sessions import Sessions, ensure_token

PORT = 18_080


@pytest.fixture
def state(ledger):
    """Return a function that returns the changes of the state for one client."""
    listener, pages = live._Client(), LiveEndpoint(LedgerPages(ledger.directory))
    return lambda: pages._state(listener)


def test_a_client_gets_everything_once_and_then_differences(ledger, state):
    now = time.time()
    ledger.side("r1", "input", now, flagged=("pii",))
    ledger.beat(now + 1)
    first = state()
    assert [row.request_id for row in first["requests"]] == ["r1"]
    assert {"ledger", "traffic", "firing", "coverage"} <= first.keys()
    assert "alerts" not in first
    assert state() == {}
    ledger.side("r1", "output", now + 0.5)
    ledger.side("r2", "input", now + 0.5)
    assert {row.request_id: len(row.verdicts) for row in state()["requests"]} == {"r1": 6, "r2": 3}
    ledger.alerts(3)
    later = state()
    assert len(later["alerts"]) == 3
    assert "requests" not in later


@pytest.mark.parametrize(
    ("advanced", "event_time", "problems"),
    [(0.0, 0.0, set()), (-31.0, -31.0, {"inactive"}), (0.0, 31.0, {"ahead"})],
)
def test_a_state_has_the_problems_of_the_sources_as_weir_status(ledger, state, advanced, event_time, problems):
    now = time.time()
    beat = Heartbeat(wall_time=now, log_time=now + event_time, advanced_at=now + advanced, caught_up=True)
    ledger.store.decisions.beat(beat)
    found = state()["ledger"]
    assert {name for name in ("inactive", "ahead") if found[name]} == problems


def test_a_client_gets_the_number_of_reviews_and_the_silences(ledger, state):
    now = time.time()
    ledger.beat(now)
    assert state()["said"] == {"reviews": 0, "silences": {}}
    judged = Feedback(request_id="r1", tenant="acme", principal="console:ann", label="right", alert_id="al_1")
    muted = {"silence_id": "si_1", "alert_id": "al_1", "at": now - 1, "by": "ann", "tenant": "acme"}
    muted |= {"model": "m", "side": "input", "detector": "pii"}
    for name, partition, data in [
        ("weir.feedback", 0, judged),
        ("weir.alerts", 0, SilenceRecord(**muted, until=now + 600)),
        ("weir.alerts", 0, SilenceRecord(**muted, until=now - 1)),
    ]:
        event = Event(id=str(data), source="s", type=data.event_type, time=now, data=data)
        ledger.apply(name, event, partition=partition)
        counts = state()["said"]
        assert counts["reviews"] == 1
        assert counts["silences"] == ({"si_1": now + 600} if getattr(data, "until", 0) > now else {})
    assert state() == {}


def test_a_new_client_reloads_the_alerts_once_since_one_may_have_changed_while_its_page_loaded(ledger, state):
    ledger.beat(time.time())
    ledger.alerts(1)
    assert state()["alerts_anew"] is True
    assert state() == {}


def test_a_state_is_bounded(ledger, state):
    now = time.time()
    ledger.beat(now)
    state()
    for number in range(150):
        ledger.side(f"r{number}", "input", now + number / 1000)
    ledger.alerts(150)
    bounded = state()
    assert len(bounded["requests"]) == 100
    assert bounded["requests"][0].request_id == "r149"
    assert bounded["alerts_anew"] is True
    assert "alerts" not in bounded
    assert len(msgspec.json.encode(bounded)) < 150_000


def test_without_a_ledger_the_state_has_no_ledger(tmp_path):
    pages = LiveEndpoint(LedgerPages(tmp_path / "none"))
    assert pages._state(live._Client()) == {"ledger": None}


@contextlib.asynccontextmanager
async def live_stream(home):
    """Yield an HTTP client of the console of `home`, and its open live stream."""
    with served_console(home) as served:
        headers = {"authorization": f"Bearer {ensure_token(home)}"}
        async with (
            httpx.AsyncClient(base_url=served.address, headers=headers, timeout=30) as client,
            client.stream("GET", "/api/live") as answer,
        ):
            yield client, answer


async def test_a_stream_ends_so_that_an_expired_session_gets_no_more_data(ledger, monkeypatch):
    monkeypatch.setattr(live, "_LONGEST_SECONDS", 1.0)
    ledger.beat(time.time())
    async with live_stream(ledger.directory.parent) as (_client, answer):
        lines = [line async for line in answer.aiter_lines()]
        assert lines[0] == "retry: 2000"


async def test_a_client_without_changes_gets_empty_states_so_its_page_can_see_that_the_console_answers(
    ledger, monkeypatch
):
    monkeypatch.setattr(live, "_PING_SECONDS", 0.0)
    ledger.beat(time.time())
    async with live_stream(ledger.directory.parent) as (_client, answer):
        async for line in answer.aiter_lines():
            if line == "data: {}":
                break


async def test_a_page_that_reads_nothing_frees_its_place(ledger, settings, monkeypatch):
    """As a page in a browser tab that sleeps: its connection is open, so nothing else ends the stream."""
    monkeypatch.setattr(live, "_MAX_CLIENTS", 1)
    monkeypatch.setattr(http, "SEND_SECONDS", 0.05)
    ledger.beat(time.time())
    secret = ensure_token(settings.home)
    app = console_app(settings, Sessions(secret), PORT)
    headers = {"host": f"127.0.0.1:{PORT}", "authorization": f"Bearer {secret}"}
    sent = []

    async def send(message):
        sent.append(message)
        if len(sent) > 1:
            await asyncio.Event().wait()

    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/api/live", "query_string": b"", "headers": encoded}
    await asyncio.wait_for(app(scope, asyncio.Event().wait, send), 30)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    monkeypatch.setattr(live, "_LONGEST_SECONDS", 0.0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
        assert (await client.get("/api/live", headers=headers)).status_code == 200


async def test_a_client_is_served_over_http_and_one_too_many_is_rejected(ledger, monkeypatch):
    monkeypatch.setattr(live, "_MAX_CLIENTS", 1)
    ledger.side("r1", "input", time.time())
    ledger.beat(time.time())
    async with live_stream(ledger.directory.parent) as (client, answer):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        while not (line := await anext(lines)).startswith("data: "):
            pass
        assert '"request_id":"r1"' in line
        refused = await client.get("/api/live")
        assert refused.status_code == 503
        assert "1 pages are connected" in refused.json()["error"]
