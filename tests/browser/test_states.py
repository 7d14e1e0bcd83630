"""The page with states of the ledger and with late, failed or reordered replies, in a real Chromium."""

import re
import time

import pytest
from support import alert_records
from support.console_ledger import NAMES, LedgerMaker
from support.console_page import Look, hide, served_console
from support.events import event_of
from support.ledger_log import request

from stream.ledger.decisions import Heartbeat
from stream.wire import RetrainingRecord


def hold(page, pattern):
    """Intercept requests for `pattern`; return the list of those that wait for an answer of the test."""
    held = []

    def keep(route):
        held.append(route)

    page.route(pattern, keep)
    return held


def pause(page):
    """Stop the clock of the page, so that the page polls only if the test calls `poll`."""
    now = time.time()
    page.clock.install(time=now)
    page.clock.pause_at(now + 1)


def poll(page, held):
    """Advance the clock of the page to the next poll; wait for the request."""
    before = len(held)
    page.clock.run_for(5_500)
    while len(held) == before:
        page.wait_for_timeout(10)


def test_a_ledger_without_a_heartbeat_is_shown_as_stopped(look, maker):
    page = look.go("/live", ".row")
    then = time.time() - 60
    maker.store.decisions.beat(Heartbeat(wall_time=then, log_time=then, advanced_at=then, caught_up=True, lag={}))
    page.wait_for_selector(".side .state.critical:has-text('the ledger has stopped')")
    page.wait_for_selector(".tile .bad:has-text('the ledger has stopped')")


def test_inactive_sources_and_a_clock_that_is_ahead_are_shown_and_no_rate_of_the_last_minute(look, maker):
    page, now = look.go("/live", ".row"), time.time()
    later = now + 3600
    maker.store.decisions.beat(Heartbeat(wall_time=later, log_time=now, advanced_at=now, caught_up=True))
    page.wait_for_selector(".side .state.critical:has-text('every source is inactive: run weir status')")
    for name in ("requests / s", "flagged / s"):
        tile = page.locator(".tile", has_text=name)
        assert tile.locator("b").inner_text() == "\N{EN DASH}"
        assert tile.locator("path").get_attribute("d") == ""
    maker.store.decisions.beat(Heartbeat(wall_time=later, log_time=later + 60, advanced_at=later, caught_up=True))
    page.wait_for_selector(".side .state.critical:has-text('the clock of a source is ahead: run weir status')")


def test_a_review_keeps_the_filter_of_the_queue(look):
    page = look.page
    page.route("**/api/feedback", lambda route: route.fulfill(status=202, json={}))
    look.go("/review?severity=warning", ".row")
    before = page.locator(".row").count()
    page.locator(".row").first.click()
    page.wait_for_selector(".pane h2")
    first = page.url
    page.keyboard.press("y")
    page.wait_for_url(lambda url: url != first)
    assert page.url.endswith("?severity=warning")
    page.wait_for_function("count => document.querySelectorAll('.row').length === count", arg=before - 1)


def test_a_review_that_ends_late_does_not_leave_the_view_that_the_user_chose(look):
    page = look.page
    held = hold(page, "**/api/feedback")
    look.go("/review", ".row")
    page.locator(".row").first.click()
    page.get_by_role("button", name="Right").click()
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_selector(".tiles")
    with page.expect_response("**/api/feedback"):
        held[0].fulfill(status=202, json={})
    page.wait_for_timeout(200)
    assert page.evaluate("location.pathname") == "/coverage"


def test_a_held_key_reviews_only_one_alert(look):
    page, reviews = look.page, []

    def answer(route):
        reviews.append(route.request.post_data_json["alert_id"])
        route.fulfill(status=202, json={})

    page.route("**/api/feedback", answer)
    look.go("/review", ".row")
    page.locator(".row").first.click()
    page.wait_for_selector(".pane h2")
    page.keyboard.down("y")
    page.wait_for_function("() => document.querySelectorAll('.row').length === 5")
    page.wait_for_selector(".pane [aria-keyshortcuts=y]")
    for _ in range(5):  # the browser repeats a held key
        page.keyboard.down("y")
        page.wait_for_timeout(50)
    page.keyboard.up("y")
    assert len(reviews) == 1


def test_replies_that_take_longer_than_the_time_between_two_polls_are_shown(look):
    page = look.page
    held = hold(page, "**/api/coverage")
    pause(page)
    page.goto(f"{look.served.address}/coverage")
    page.wait_for_selector("h1")
    poll(page, held)
    assert len(held) == 2
    held[0].continue_()  # the older reply
    page.wait_for_selector(".tiles")


def test_an_older_reply_does_not_replace_a_newer_one(look):
    page = look.page
    held = hold(page, "**/api/silences")
    pause(page)
    page.goto(f"{look.served.address}/silences")
    page.wait_for_selector("h1")
    poll(page, held)
    held[1].fulfill(json={"silences": []})
    page.wait_for_selector(".empty")
    with page.expect_response("**/api/silences"):
        held[0].fulfill(status=500, json={"error": "old"})
    page.wait_for_timeout(200)
    assert page.locator(".error-box").count() == 0
    look.troubles.clear()  # Chromium reports the status 500


def test_a_reply_for_the_time_range_before_is_not_shown(look, maker):
    maker.windows(time.time(), tenant="acme", model="m")
    page = look.go("/drift", ".pane canvas")
    held = hold(page, "**/api/drift/series?*")
    page.get_by_role("button", name="6h").click()
    page.get_by_role("button", name="7d").click()
    page.wait_for_selector("[aria-pressed=true]:has-text('7d')")
    page.wait_for_timeout(200)
    empty = {"time": [], "statistic": [], "limit": [], "alarm": [], "latest": None, "changed": None}
    held[0].fulfill(json=empty)
    page.wait_for_timeout(300)
    assert page.locator(".pane canvas").count() == 1


def test_counts_are_shown_with_all_digits(look):
    page = look.page

    def many(route):
        reply = route.fetch().json()
        reply["coverage"] |= {"requests": 1_234_567, "owed": 7_407_402, "missing": 123_456}
        route.fulfill(json=reply)

    page.route("**/api/coverage", many)
    look.go("/coverage", ".tiles")
    tiles = page.locator(".tiles").inner_text().replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert all(number in tiles for number in ("1 234 567", "7 407 402", "123 456"))


def test_coverage_without_an_expected_verdict_is_not_a_hundred_percent(browser, tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.apply(NAMES.inference, request("r1", time.time(), owed=()))
    maker.beat(time.time())
    with served_console(tmp_path) as served, Look(browser, served) as look:
        page = look.go("/coverage", ".tile:has-text('requests')")
        assert page.locator(".tile", has_text="requests").locator("b").inner_text() == "1"
        assert page.locator(".tile", has_text="detector coverage").locator("b").inner_text() == "\N{EN DASH}"
        page = look.go("/live", ".row")
        assert page.locator(".tile", has_text="detector coverage").locator("b").inner_text() == "\N{EN DASH}"
    maker.close()


def test_an_open_alert_shows_its_age_and_the_time_zone(browser, maker, tmp_path):
    with served_console(tmp_path) as served, Look(browser, served, zone="Asia/Tokyo") as look:
        page = look.page
        page.clock.install()
        page.goto(f"{served.address}/alerts?state=")
        page.locator(".row").first.click()
        opened = page.locator(".pane .fact", has_text="opened").locator("dd")
        assert re.fullmatch(r"\S.*:\d\d GMT\+9 \(\d+ (s|min) ago\)", opened.inner_text())
        page.clock.fast_forward(7_200_000)
        page.wait_for_selector(".pane .fact:has-text('2 h ago')")
        page = look.go("/live", ".row")
        page.wait_for_selector(".tile:has-text('event time, GMT+9')")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1400, 480), (1280, 800)])
def test_a_small_window_hides_no_tile_button_or_verdict(browser, maker, tmp_path, width, height):
    names = {"tenant": "customer-support-emea", "model": "meta-llama/Meta-Llama-3.1-70B-Instruct"}
    maker.windows(time.time(), **names, detector="tool_mix", part="tool_result", model_version="m_59a26d56f505")
    request = RetrainingRecord(
        retraining_id="rt_1", state="requested", reason="two agree", tenant="acme", model="m", at=time.time(),
        alert_ids=tuple(f"al_{number:08d}" for number in range(20)),
    )  # fmt: skip
    maker.retraining(request)
    with served_console(tmp_path) as served, Look(browser, served, width=width, height=height) as look:
        page = look.go("/coverage", ".tiles")
        assert (
            page.evaluate("() => (tiles => tiles.scrollHeight - tiles.clientHeight)(document.querySelector('.tiles'))")
            == 0
        )
        seen = [
            ("/coverage", ".counts thead th:last-child"),
            ("/live", ".row .verdicts"),
            ("/retraining", "button:has-text('Approve')"),
            ("/drift", "button:has-text('7d')"),
            ("/drift", ".pane-head .tag"),
            ("/drift", ".side .state"),
        ]
        for path, what in seen:
            box = look.go(path, what).locator(what).first.bounding_box()
            assert box["x"] + box["width"] <= width, what


def test_a_name_cannot_change_the_direction_of_adjacent_text(look, maker):
    model = "m\N{RIGHT-TO-LEFT OVERRIDE}gpj\x07"
    maker.windows(time.time(), tenant="acme", model=model)
    summary = f"Prompt drift on {model}: 100 % of recent prompts are outside the reference region."
    record = alert_records.alert("al_rlo", model=model, detector="drift", side="input", summary=summary)
    maker.apply(NAMES.alerts, event_of(record, "al_rlo/0", time.time()))
    page = look.go("/alerts/al_rlo?state=", ".pane h2")
    shown = "m\N{REPLACEMENT CHARACTER}gpj\N{REPLACEMENT CHARACTER}"
    assert page.locator(".pane h2").inner_text() == summary.replace(model, shown)
    assert shown in page.locator(".pane .facts a").inner_text()
    look.go("/drift", ".row").locator(".row", has_text="gpj").click()  # the link keeps the original name
    page.wait_for_selector(".pane canvas")


def test_a_click_with_ctrl_opens_a_link_in_a_new_tab(look):
    page = look.go("/alerts?state=", ".row")
    page.locator(".row").first.click()
    link = page.locator(".pane td a", has_text="r1").first
    with page.context.expect_page() as opened:
        link.click(modifiers=["Control"])
    opened.value.wait_for_selector(".pane table")
    assert "/alerts/" in page.url
    link.click()
    page.wait_for_selector(".pane-head:has-text('Request')")


def test_an_ended_silence_does_not_reappear_with_an_older_reply(look):
    page, now = look.page, time.time()
    silence = {"silence_id": "si_1", "alert_id": "al_1", "at": now, "by": "ann", "tenant": "acme", "until": now + 900}
    silence |= {"model": "m", "side": "input", "detector": "pii", "reason": "known"}
    replies = [{"silences": [silence]}] * 2
    held = []

    def answer(route):
        held.append(route)  # first, because another request can arrive while this one is answered
        if len(held) == 1:
            route.fulfill(json=replies[0])

    page.route("**/api/silences", answer)
    page.route("**/api/silences/si_1", lambda route: route.fulfill(json={"ended": []}))
    pause(page)
    page.goto(f"{look.served.address}/silences")
    page.wait_for_selector("td button")
    poll(page, held)
    page.get_by_role("button", name="End").click()
    page.wait_for_selector(".empty")
    for route in held[1:]:
        route.fulfill(json=replies[1])
    page.wait_for_timeout(200)
    assert page.locator(".empty").count() == 1


def test_the_failure_of_a_silence_is_shown_although_esc_was_pressed(look):
    page = look.page
    held = hold(page, re.compile("/api/silences$"))
    look.go("/alerts?state=", ".row")
    page.locator(".row").first.click()
    page.get_by_role("button", name="Silence").click()
    page.keyboard.type("known")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog button:has-text('Silencing')")
    page.keyboard.press("Escape")
    held[0].fulfill(status=503, json={"error": "no Kafka answers"})
    page.wait_for_selector("dialog .error-box:has-text('no Kafka answers')")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    look.troubles.clear()  # Chromium reports the status 503


def test_the_failure_of_a_review_is_shown_although_another_alert_is_open(look):
    page = look.page
    held = hold(page, "**/api/feedback")
    look.go("/review", ".row")
    page.locator(".row").first.click()
    page.wait_for_selector(".pane h2")
    page.keyboard.press("y")
    page.wait_for_selector(".pane button[aria-keyshortcuts=y]:disabled")
    page.keyboard.press("j")
    page.wait_for_selector(".pane button[aria-keyshortcuts=y]:enabled")
    held[0].fulfill(status=503, json={"error": "no Kafka answers"})
    page.wait_for_selector(".left .error-box:has-text('was not recorded: no Kafka answers')")
    look.troubles.clear()  # Chromium reports the status 503


def test_hidden_tabs_release_their_connections_for_the_visible_tab(look, maker):
    for _ in range(6):
        page = look.page.context.new_page()
        page.goto(f"{look.served.address}/coverage")
        page.wait_for_selector(".tiles")
        page.wait_for_selector(".side .state.good")
        hide(page, True)
        page.wait_for_selector(".side .state.warning")
    maker.alerts(9, evidence=("r1",))
    hide(page, False)
    page.wait_for_selector(".side .state.good")
    page.locator(".side a", has_text="Alerts").click()
    page.get_by_role("button", name="All").click()
    page.wait_for_function("() => document.querySelectorAll('.row').length > 6")


def test_the_count_of_a_truncated_list_has_a_plus(look, maker):
    for number in range(201):
        maker.windows(time.time(), tenant="acme", model=f"m{number}", count=1)
    page = look.go("/drift", ".row")
    assert page.locator(".left .head .quiet").inner_text() == "200+ streams"
    row = {"tenant": "acme", "model": "m", "status": "complete", "time": time.time()}
    rows = [row | {"request_id": f"r{number}"} for number in range(100)]
    page.route("**/api/answers?*", lambda route: route.fulfill(json={"requests": rows}))
    page = look.go("/answers", "td")
    assert page.locator(".head .quiet").inner_text() == "100+ to review"


def test_a_count_of_one_has_a_noun_in_the_singular(look, maker):
    maker.windows(time.time(), tenant="acme", model="m", count=1)
    page = look.go("/drift", ".row")
    assert page.locator(".left .head .quiet").inner_text() == "1 stream"
    version = {"version": "m_1", "tenant": "acme", "model": "m", "state": "trained", "at": time.time()}
    page.route("**/api/models?*", lambda route: route.fulfill(json={"models": [version]}))
    page = look.go("/models", ".row")
    assert page.locator(".left .head .quiet").inner_text() == "1 trained version"


def test_a_ledger_that_cannot_read_kafka_is_shown_as_waiting_and_its_event_time_ages(look, maker):
    page, now = look.page, time.time()
    page.clock.install()
    maker.store.decisions.beat(Heartbeat(wall_time=now + 3600, log_time=now, advanced_at=now))
    page.goto(f"{look.served.address}/live")
    page.wait_for_selector(".side .state.warning:has-text('waiting for Kafka')")
    page.wait_for_selector(".tile:has-text('waiting for Kafka')")
    page.clock.fast_forward(60_000)
    page.wait_for_selector(".tile .bad:has-text(' s ago')")


@pytest.mark.parametrize("step", [-3600, 3600])
def test_ages_do_not_depend_on_the_clock_of_the_browser(look, maker, step):
    page, now = look.page, time.time()
    page.clock.install(time=now + step)
    later = now + 200  # the page can be slow
    maker.store.decisions.beat(Heartbeat(wall_time=now + 3600, log_time=later, advanced_at=later, caught_up=True))
    page.goto(f"{look.served.address}/live")
    page.wait_for_selector(".tile:has-text('the ledger is up to date')")
    page.clock.fast_forward(600_000)
    page.wait_for_selector(".tile .bad:has-text(' min ago')")
