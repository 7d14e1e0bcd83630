"""The map of embeddings of a drift alert in a real Chromium, with a real ledger and broker."""

import json
import re

import pytest
from anyio.from_thread import start_blocking_portal
from axe_playwright_python.sync_playwright import Axe
from support.console_map import TENANTS, send_shift
from support.console_page import Look, Served
from support.console_server import running_console

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def shifted(embedded_broker, tmp_path_factory):
    """Return the console of a stack in which the subject of the prompts changed, and the newest drift alert."""
    home = tmp_path_factory.mktemp("home")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_console(embedded_broker.bootstrap, home, tenants=TENANTS)) as console,
    ):
        alert = portal.call(send_shift, console.kafka)[-1]
        portal.call(console.until, "requests", "/api/requests?limit=500", lambda found: len(found["requests"]) == 332)
        portal.call(
            console.until,
            "the windows",
            f"/api/alerts/{alert.alert_id}",
            lambda found: found["series"] and found["series"]["changed"],
        )
        yield console, alert.alert_id


@pytest.fixture
def look(request, browser, shifted):
    console, _ = shifted
    served = Served(console.settings, console.settings.console.port, None)
    with Look(browser, served, scheme=getattr(request, "param", "light"), height=1400) as look:
        yield look


def opened(look, path):
    page = look.go(path, ".pane .change")
    page.get_by_role("button", name="Map before and after").click()
    page.wait_for_selector(".plot .centre")
    return page


@pytest.mark.parametrize("look", ["light", "dark"], indirect=True)
def test_the_map_shows_two_shapes_the_variance_of_the_axes_and_the_clusters(look, shifted):
    page = opened(look, f"/alerts/{shifted[1]}")
    shapes = [page.locator(f".plot path.{name}") for name in ("reference", "recent")]
    colours = [shape.evaluate("one => getComputedStyle(one).stroke + getComputedStyle(one).fill") for shape in shapes]
    reference, recent = (shape.get_attribute("d") for shape in shapes)
    assert colours[0] != colours[1]
    assert ("a3 3" in reference, "z" in reference) == (True, False)
    assert ("a3 3" in recent, "z" in recent) == (False, True)
    axes = page.locator(".plot .axis").all_text_contents()
    assert [re.fullmatch(r"component (\d): [\d.]+ % of the variance", axis)[1] for axis in axes] == ["1", "2"]
    assert page.locator(".plot .centre").count() == page.locator(".map tbody tr").count() == 8
    assert all(re.fullmatch(r"[\d.]+ % → [\d.]+ %", one) for one in page.locator(".plot .shares").all_text_contents())
    violations = Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []


def test_a_point_is_selected_by_keys_or_pointer_and_links_to_its_request(look, shifted):
    page = opened(look, f"/alerts/{shifted[1]}")
    chosen = page.locator(".map-point a")
    page.locator(".plot").focus()
    page.keyboard.press("ArrowLeft")
    last = chosen.inner_text()
    page.keyboard.press("ArrowLeft")
    assert chosen.inner_text() != last
    page.keyboard.press("ArrowRight")
    assert chosen.inner_text() == last
    assert page.url.endswith(shifted[1]), "the arrow keys must not move the list of alerts"
    circle = page.locator(".plot .chosen").bounding_box()
    page.locator(".plot").focus()
    page.keyboard.press("ArrowDown")
    page.mouse.click(circle["x"] + circle["width"] / 2, circle["y"] + circle["height"] / 2)
    assert chosen.inner_text() == last
    chosen.click()
    page.wait_for_url(f"**/requests/{last}")
    page.go_back()
    page.wait_for_selector(".pane .change")
    opened(look, f"/alerts/{shifted[1]}").locator(".plot").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/requests/{last}")


def test_texts_are_read_on_request_only(look, shifted):
    console, alert_id = shifted
    log = console.home / "logs" / "access.log"
    before = len(log.read_text().splitlines()) if log.exists() else 0
    page = opened(look, f"/alerts/{alert_id}")
    assert "SQL" not in page.locator(".map").inner_text()
    assert (len(log.read_text().splitlines()) if log.exists() else 0) == before
    page.get_by_role("button", name="Describe the clusters").click()
    page.wait_for_selector(".map-example")
    first = page.locator(".map tbody tr").first.inner_text()
    assert "sql" in first
    assert "SQL" in first
    entries = [json.loads(line) for line in log.read_text().splitlines()[before:]]
    assert {one["command"] for one in entries} == {"console clusters"}


def test_a_stream_has_a_map_on_demand(look):
    page = opened(look, "/drift")
    assert page.locator(".plot .recent").get_attribute("d")


def test_a_stream_without_signals_states_why_it_has_no_map(look):
    page = look.page
    page.route(
        "**/api/drift/map?*", lambda route: route.continue_(url=re.sub("until=[^&]*", "until=9", route.request.url))
    )
    look.go("/drift", ".pane .change")
    page.get_by_role("button", name="Map before and after").click()
    page.wait_for_selector(".map [role=status]:has-text('No map')")
    assert "their signals have expired" in page.locator(".map").inner_text()
