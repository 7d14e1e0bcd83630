"""Keys of the page, in a real Chromium; `test_page.py` has the usual ones."""

from support.console_page import Look, served_console


def test_the_keys_work_after_a_click_on_the_check_box(look):
    page = look.go("/live", ".row")
    page.get_by_label("flagged only").click()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_selector("h1:has-text('Alerts')")


def test_the_keys_work_after_a_click_on_a_filter_and_after_esc_in_a_filter(look):
    page = look.go("/alerts?state=", ".row")
    filter_ = page.locator("select").first
    filter_.focus()
    filter_.dispatch_event("pointerdown")  # a click would open a menu of the system
    filter_.select_option("warning")
    page.keyboard.press("?")
    page.wait_for_selector("dialog")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    filter_.focus()
    for key, value in (("ArrowDown", "info"), ("ArrowUp", "warning")):
        page.keyboard.press(key)  # a filter that is used by keys keeps the focus
        page.wait_for_url(f"**severity={value}")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_selector("h1:has-text('Coverage')")


def test_the_arrows_scroll_a_view_without_a_list(browser, maker, tmp_path):
    with served_console(tmp_path) as served, Look(browser, served, height=420) as look:
        look.go("/coverage", ".tiles").locator(".page-body").focus()
        look.page.keyboard.press("ArrowDown")
        look.until("document.querySelector('.page-body').scrollTop > 0")


def test_esc_returns_from_a_conversation_to_its_request(look):
    page = look.go("/conversations/r1", ".empty")
    page.keyboard.press("Escape")
    page.wait_for_selector(".pane table")
    assert page.url.endswith("/requests/r1")
