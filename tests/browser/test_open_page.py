"""A page of the console that stays open for hours, or whose requests fail: the times and the notices that it shows."""

import re
import time

from support import alert_records
from support.console_ledger import NAMES, LedgerMaker, changed
from support.console_page import Look, hide, served_console
from support.events import event_of
from support.ledger_log import aborted, end, gap, request

from stream.wire import GuardStop
from weir.console import live_updates


def test_a_request_of_an_earlier_day_has_its_day_in_the_live_list(look, maker):
    maker.side("old", "input", time.time() - 3 * 86_400)
    page = look.go("/live", ".row:nth-child(2)")
    shown = page.locator(".row", has_text="old").locator("time")
    assert re.fullmatch(r"\w+ \d+\s\d\d:\d\d:\d\d", shown.inner_text())
    assert shown.bounding_box()["height"] <= 30, "the row has a height of 30 px"


def test_the_times_of_a_page_that_stays_open_get_a_day_after_midnight_and_a_year_after_half_a_year(look):
    page = look.go("/alerts?state=", ".row")
    page.clock.install(time=page.locator(".row time").first.get_attribute("datetime"))
    page.reload()
    opened = page.wait_for_selector(".row .second time")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", opened.inner_text())
    page.clock.fast_forward(86_400_000)
    page.wait_for_function("one => /^[A-Z][a-z]+ \\d+ \\d\\d:/.test(one.textContent)", arg=opened)
    page.clock.fast_forward(200 * 86_400_000)
    page.wait_for_function("one => /^[A-Z][a-z]+ \\d+, \\d{4} \\d\\d:/.test(one.textContent)", arg=opened)


def test_a_page_without_data_shows_since_when_and_recovers(look, monkeypatch):
    page = look.page
    page.clock.install()
    monkeypatch.setattr(live_updates, "_EVERY_SECONDS", 3600.0)  # after one state, the connection stays open
    page.goto(f"{look.served.address}/alerts")
    page.wait_for_selector(".side .state.good")
    page.clock.fast_forward(60_000)
    state = page.wait_for_selector(".side .state.critical")
    assert re.search(r"no data since .*\d\d:\d\d:\d\d: run weir status", state.inner_text())
    monkeypatch.undo()
    hide(page, True)
    hide(page, False)
    page.wait_for_selector(".side .state.good")


def test_a_poll_does_not_replace_the_stream_or_the_version_that_the_user_reads(look, maker):
    page, now = look.page, time.time()
    page.clock.install()
    maker.windows(now, tenant="first", model="m", count=2)
    look.go("/drift", ".pane-head:has-text('first')")
    maker.windows(now, tenant="second", model="m")
    page.clock.fast_forward(11_000)
    page.wait_for_selector(".row:nth-child(1):has-text('second')")
    assert "first" in page.locator(".pane-head").inner_text()
    versions = [{"version": "m_1", "tenant": "acme", "model": "m", "state": "trained", "at": now}]
    page.route("**/api/models?*", lambda route: route.fulfill(json={"models": versions}))
    page.route("**/chain", lambda route: route.fulfill(status=503, json={"error": "no Kafka answers"}))
    look.go("/models", ".pane-head:has-text('m_1')")
    versions.insert(0, versions[0] | {"version": "m_2"})
    page.clock.fast_forward(16_000)
    page.wait_for_selector(".row:nth-child(1):has-text('m_2')")
    assert page.locator(".pane-head strong").inner_text() == "m_1"
    look.troubles.clear()  # Chromium reports the status 503


def test_a_conversation_shows_new_ends_and_a_plus_if_its_list_is_truncated(look, maker):
    begin = time.time() - 100
    maker.apply(NAMES.inference, request("t0", begin, conversation_id="talk", owed=()))
    page = look.go("/conversations/t0", ".turn:has-text('no end record yet')")
    assert page.locator("header [role=status]").inner_text() == "1 request"
    maker.apply(NAMES.inference, end("t0", begin + 1, conversation_id="talk", owed=()))
    page.wait_for_selector(".turn:has-text('complete, stop')", timeout=10_000)
    turns = [request(f"t{number}", begin + number, conversation_id="talk", owed=()) for number in range(1, 51)]
    maker.apply(NAMES.inference, *turns)
    look.go("/conversations/t0", ".turn")
    assert page.locator("header [role=status]").inner_text() == "50+ requests"


def test_an_open_request_shows_an_alert_that_fires_after_its_last_verdict(look, maker):
    page = look.go("/requests/r1", ".pane table")
    page.wait_for_selector(".side .state.good")
    record = alert_records.alert("al_late", evidence=("r1",))
    maker.apply(NAMES.alerts, event_of(record, "al_late/0", time.time()))
    page.wait_for_selector(".pane a[href^='/alerts/al_late']")


def test_a_text_that_kafka_does_not_have_is_absent_for_its_own_reason(look, maker):
    page, text = look.page, {"choices": [], "answer": None}
    maker.apply(
        NAMES.inference, request("open", time.time(), conversation_id="talk", owed=()), gap("s1", 4, 4, ("lost",))
    )
    page.route("**/api/requests/*/text", lambda route: route.fulfill(json={"text": text}))
    running = "No end record yet: read the text again when the request has ended."
    for path, prompt, absent in (
        ("/conversations/open", "Hello", [running]),
        ("/requests/open", "Hello", [running]),
        ("/requests/lost", None, ["The record was not delivered, so Kafka has no text."] * 2),
        ("/requests/r1", None, ["The text has expired."] * 2),
    ):
        text |= {"prompt": prompt, "messages": []}
        look.go(path, "button:text-is('Show text')").click("button:text-is('Show text')")
        shown = page.locator("section:has(> h3:text-is('Answer')) > p")
        shown.first.wait_for()
        assert shown.all_inner_texts() == absent, path
    look.go("/requests/open", "button:text-is('Show text')").click("button:text-is('Show text')")
    shown.first.wait_for()
    maker.apply(NAMES.inference, end("open", time.time(), conversation_id="talk", owed=()))
    page.wait_for_selector(".pane:has-text('complete, stop')")
    assert shown.all_inner_texts()[-1] == running, "the text was read before the end"


def test_the_end_of_a_dead_gateway_has_no_numbers(look, maker):
    maker.apply(NAMES.inference, request("dead", time.time(), owed=()), aborted("dead", time.time()))
    page = look.go("/live", ".row:has-text('aborted')")
    assert page.locator(".row", has_text="dead").locator(".right").all_inner_texts() == ["", ""]
    look.go("/requests/dead", ".facts:has-text('its gateway ended first')")
    assert page.locator(".facts dt").all_inner_texts() == ["stream", "end"]


def test_a_duration_that_another_gateway_did_not_report_is_unknown(look, maker):
    now = time.time()
    ended = changed(end("reported", now, owed=()), latency_seconds=0.0)
    maker.apply(NAMES.inference, request("reported", now, owed=()), ended)
    page = look.go("/live", ".row:has-text('reported')")
    assert page.locator(".row", has_text="reported").locator(".right").first.inner_text() == ""
    look.go("/requests/reported", ".facts:has-text('took')")
    assert page.locator(".facts .fact", has_text="took").locator("dd").inner_text().startswith("unknown")


def test_an_end_has_the_finding_of_the_guard(look, maker):
    now = time.time()
    for request_id, stopped in (("cut", True), ("seen", False)):
        found = GuardStop(detector="pii", position_tokens=12, exposed_tokens=3, stopped=stopped)
        ended = changed(end(request_id, now, owed=()), guard=found)
        maker.apply(NAMES.inference, request(request_id, now, owed=()), ended)
    guard = look.page.locator(".facts .fact", has_text="guard").locator("dd")
    look.go("/requests/cut", ".facts")
    assert guard.inner_text() == "stopped the answer: pii at token 12, 3 tokens sent"
    look.go("/requests/seen", ".facts")
    assert guard.inner_text() == "found pii at token 12, 3 tokens sent"


def test_the_hours_of_coverage_have_days_and_the_times_of_a_zone_with_half_hours(browser, tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    for hours in (0, 30):
        maker.side(f"r{hours}", "input", 1_764_547_200.0 + hours * 3600)  # 2025-12-01 00:00 UTC
    maker.beat(time.time())
    with served_console(tmp_path) as served, Look(browser, served, zone="Asia/Kolkata") as look:
        bars = look.go("/coverage", ".hour").locator(".hour")
        labels = [label for label in bars.all_inner_texts() if label]
        assert labels == ["06:30", "09:30", "12:30", "15:30", "18:30", "21:30", "Dec 2", "03:30", "06:30", "09:30"]
        assert bars.last.get_attribute("title").startswith("Dec 2, 2025 11:30:00 GMT+5:30: 3 expected")
    maker.close()


def test_a_page_without_data_shows_no_zeros_and_not_that_there_is_no_request(look):
    page = look.page
    page.route("**/api/live", lambda route: route.fulfill(status=401, body="no session\n"))
    look.go("/live", ".tile")
    assert page.locator(".tile b").all_inner_texts() == ["\N{EN DASH}"] * 5
    assert page.locator(".empty").count() == 0
    look.troubles.clear()  # Chromium reports the status 401


def test_a_view_that_waits_for_its_data_says_so(look, maker):
    maker.windows(time.time(), tenant="acme", model="m")
    page, held = look.page, []

    def hold(route):
        held.append(route)

    page.route("**/api/drift/series?*", hold)
    look.go("/drift", ".pane-head [role=status]:text-is('loading')")
    page.route(re.compile("/api/(?!live)"), hold)
    lists = ("alerts", "answers", "coverage", "detectors", "drift", "models", "retraining", "review", "silences")
    for view in (*lists, "conversations/r1"):
        look.go(f"/{view}", ".head [role=status]:text-is('loading')")
    for view in ("alerts/al_1", "requests/r1"):
        look.go(f"/{view}", ".pane-head [role=status]:text-is('loading')")
