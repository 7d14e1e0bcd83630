"""The page in a real Chromium, with a ledger of traffic like that of the demo."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from support.console_ledger import NAMES, LedgerMaker
from support.console_page import Look, served_console
from support.ledger_log import end, request, verdict

from detectors.registry import ALERTING
from stream.ledger.decisions import OWN_DETECTORS
from stream.wire.ids import consistency_request_id

VIEWS = {
    "/live": ".row",
    "/requests/r421": ".pane table",
    "/conversations/talk-1": ".turn table",
    "/alerts?state=": ".row",
    "/drift": ".chart canvas",
    "/coverage": ".counts",
    "/retraining": ".timeline li",
    "/review": ".row",
    "/silences": ".empty",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    maker = LedgerMaker(home / "ledger")
    maker.demo(before=2.0)
    maker.alerts(60, evidence=("r421", "r422"))
    turns = [request(f"talk-{number}", 100.0 + number, conversation_id="talk", owed=()) for number in (1, 2)]
    again = consistency_request_id("talk-1")
    copy = end(again, 103.0, conversation_id="talk", owed=("consistency",), shadow_of="talk-1")
    maker.apply(NAMES.inference, *turns, copy)
    maker.apply(NAMES.verdicts, verdict(copy, "consistency", label="inconsistent", flagged=True))
    with served_console(home, kafka={"bootstrap_servers": "127.0.0.1:9"}) as served:
        yield served
    maker.close()


@pytest.fixture
def look(browser, served):
    with Look(browser, served) as look:
        yield look


def grave(page):
    """Return the serious and critical violations that axe finds: (rule, impact, first element)."""
    violations = Axe().run(page).response["violations"]
    return [
        (one["id"], one["impact"], one["nodes"][0]["html"][:160])
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]


def first_drift(page):
    page.locator(".row", has_text="drift").filter(has_text="demo-").first.click()
    page.wait_for_selector(".pane .change")


def test_the_answer_of_a_copy_has_no_review_and_links_to_the_request_of_the_user(look):
    page = look.go(f"/requests/{consistency_request_id('talk-1')}", ".pane table")
    assert page.locator(".pane textarea").count() == 0
    page.locator(".pane dl a", has_text="talk-1").click()
    page.wait_for_selector(".pane-head:has-text('talk-1')")


def test_the_conversation_of_a_request_lists_its_turns_and_links_to_their_requests(look):
    page = look.go("/requests/talk-1", ".pane table")
    page.get_by_role("link", name="Conversation").click()
    page.wait_for_selector(".turn table")
    assert page.locator(".turn h2 a").count() == 2
    page.locator(".turn h2 a").last.click()
    page.wait_for_selector(".pane table")
    assert page.url.endswith("/requests/talk-2")


def test_a_request_and_its_copy_for_the_consistency_check_link_to_each_other(look):
    page = look.go("/requests/talk-1", ".pane table")
    again = page.locator(".facts dd", has_text="answers in")
    assert again.inner_text().startswith("inconsistent 0.90,")
    again.get_by_role("link").click()
    page.wait_for_selector("text=no user received this answer")
    page.locator(".facts dd", has_text="no user received").get_by_role("link").click()
    page.wait_for_url("**/requests/talk-1")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_finds_nothing_serious_in_any_view(browser, served, scheme, width):
    with Look(browser, served, scheme=scheme, width=width) as look:
        for path, wait in VIEWS.items():
            assert grave(look.go(path, wait)) == [], path
        page = look.go("/alerts?state=&detector=drift", ".row")
        first_drift(page)
        assert grave(page) == [], "an alert"
        page.keyboard.press("s")
        page.wait_for_selector("dialog[open]")
        assert grave(page) == [], "the silence form"
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="detached")
        page.keyboard.press("?")
        page.wait_for_selector("dialog[open]")
        assert grave(page) == [], "the list of keys"


def test_a_trace_is_two_clicks_from_the_list_of_alerts(look, served):
    page = look.go("/alerts?state=firing", ".row")
    page.locator(".row").first.click()
    link = page.get_by_role("link", name=re.compile("Open trace"))
    opened = look.opened_by(link.click)
    assert re.fullmatch(re.escape(served.trace_template).replace(r"\{trace_id\}", "[0-9a-f]{32}"), opened)


def test_keys_move_open_close_and_navigate(look, served):
    page = look.go("/live", ".row")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/alerts")
    page.wait_for_selector(".row")
    assert page.evaluate("document.activeElement.tagName") == "H1", "the focus must move to the new view"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator(".row[aria-selected=true]").get_attribute("aria-posinset") == "2"
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_selector(".pane h2")
    assert page.locator("[role=listbox]").get_attribute("aria-activedescendant") == "alert-0"
    opened = look.opened_by(lambda: page.keyboard.press("t"))
    assert "/trace/" in opened
    page.keyboard.press("Escape")
    page.wait_for_selector(".pane", state="detached")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"
    page.keyboard.type("g a")
    page.wait_for_url("**q=g+a**")
    page.keyboard.press("Escape")
    for key, path in [
        ("d", "drift"),
        ("c", "coverage"),
        ("t", "retraining"),
        ("r", "review"),
        ("s", "silences"),
        ("l", "live"),
    ]:
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"**/{path}")


def test_the_tab_key_reaches_every_control_and_shows_the_focus(look):
    page = look.go("/alerts?state=", ".row")
    names = []
    for _ in range(24):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
        )
        assert page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' || document.activeElement.matches('.list')"
        )
        if page.evaluate("document.activeElement.matches('[role=listbox]')"):
            break
    assert any("Search" in name for name in names)
    assert names[-1] == "Alerts"


def test_the_theme_is_that_of_the_system_until_the_user_changes_it(browser, served):
    ground = "getComputedStyle(document.body).backgroundColor"
    with Look(browser, served, scheme="light") as light, Look(browser, served, scheme="dark") as dark:
        bright, dim = light.page.evaluate(ground), dark.page.evaluate(ground)
        assert bright != dim
        light.page.keyboard.press("d")
        light.until(f"{ground} === '{dim}'")
        light.page.reload()
        light.until(f"{ground} === '{dim}'")


def test_the_bars_of_all_streams_have_one_scale(look):
    page = look.go("/drift", ".stream-row")
    page.evaluate("document.querySelector('.stream-row .second .clip').textContent = 'x'.repeat(300)")
    widths = page.eval_on_selector_all(
        ".stream-row .reach", "bars => bars.map(bar => bar.getBoundingClientRect().width)"
    )
    assert len(widths) >= 2
    assert len(set(widths)) == 1, widths


def test_a_drift_alert_shows_its_windows_and_what_changed(look):
    page = look.go("/alerts?state=&detector=drift", ".row")
    first_drift(page)
    assert page.locator(".pane canvas").count() == 1
    text = page.locator(".change").inner_text()
    assert "before" in text
    assert "cluster" in text
    assert "%" in text
    assert page.locator(".pane .do").inner_text().startswith("Do")


def test_the_history_of_an_alert_is_in_order_of_time(look):
    page = look.go("/alerts?state=&detector=pii", ".row")
    page.locator(".row", has_text="demo-").last.click()
    page.wait_for_selector(".course .tag")
    times = page.locator(".course > li > time").evaluate_all("all => all.map((one) => one.dateTime)")
    assert len(times) > 2
    assert times == sorted(times)


def test_the_filter_offers_every_detector_that_can_alert(look):
    page = look.go("/alerts?state=&detector=your-own", ".empty")
    offered = page.locator(".pick", has_text="any detector").locator("option").all_inner_texts()[1:]
    assert offered == sorted({*ALERTING, *OWN_DETECTORS, "silence", "your-own"})


def test_streams_of_one_model_differ_in_the_list(look):
    page = look.go("/drift", ".row")
    rows = page.locator(".row").all_inner_texts()
    assert len(rows) > 1
    assert len({row.replace("alarm", "") for row in rows}) == len(rows)
    assert page.locator(".row", has_text="input,").count() > 0
    assert page.locator(".row", has_text="output,").count() > 0


def test_a_tenants_name_is_text_not_markup(browser, served, tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("x1", "input", 1_700_000_000.0, tenant="<img src=x onerror=alert(1)>", flagged=("pii",))
    maker.beat(1_700_000_001.0)
    with served_console(tmp_path) as other, Look(browser, other) as look:
        page = look.go("/live", ".row")
        assert "<img src=x" in page.locator(".row").first.inner_text()
        assert page.locator(".row img").count() == 0
    maker.close()


def test_no_element_covers_the_chart_in_a_low_window(browser, served):
    with Look(browser, served, height=600) as look:
        page = look.go("/drift", ".pane .change")
        legend, facts = page.locator(".u-legend").bounding_box(), page.locator(".pane .facts").bounding_box()
        assert legend["y"] + legend["height"] <= facts["y"]


def test_a_narrow_window_shows_the_list_and_the_details(browser, served):
    with Look(browser, served, width=480, height=800) as look:
        page = look.go("/alerts?state=", ".row")
        page.locator(".row").first.click()
        page.wait_for_selector(".pane h2")
        assert page.locator(".pane h2").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
