"""The text of a correction in the form of a request, in a real Chromium."""

import time

import pytest
from support.console_ledger import LedgerMaker
from support.console_page import Look, served_console


@pytest.fixture
def look(browser, tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    for request_id in ("r1", "r2"):
        maker.side(request_id, "input", time.time())
        maker.side(request_id, "output", time.time())
    maker.beat(time.time())
    with served_console(tmp_path) as served, Look(browser, served) as look:
        yield look
    maker.close()


def test_esc_leaves_the_field_of_a_correction_and_keeps_its_text(look):
    page = look.go("/requests/r1", "textarea")
    page.get_by_label("Better answer").fill("The office opens at 9.")
    page.keyboard.press("Escape")
    page.wait_for_selector("textarea:not(:focus)")
    assert page.get_by_label("Better answer").input_value() == "The office opens at 9."
    page.keyboard.press("Escape")
    page.wait_for_selector("textarea", state="detached")


def test_an_unsent_correction_is_kept_while_another_request_or_the_conversation_is_shown(look):
    page = look.go("/live", ".row:has-text('r2')")
    page.locator(".row", has_text="r1").click()
    page.get_by_label("Better answer").fill("The office opens at 9.")
    page.get_by_label("Comment").fill("see the door")
    page.locator(".row", has_text="r2").click()
    page.wait_for_selector(".pane-head:has-text('r2')")
    assert page.get_by_label("Better answer").input_value() == ""
    page.locator(".row", has_text="r1").click()
    page.wait_for_selector(".pane-head:has-text('r1')")
    page.get_by_role("link", name="Conversation").click()
    page.wait_for_selector("h1:has-text('Conversation')")
    page.keyboard.press("Escape")
    page.wait_for_selector("textarea")
    assert page.get_by_label("Better answer").input_value() == "The office opens at 9."
    assert page.get_by_label("Comment").input_value() == "see the door"


def test_a_correction_that_was_sent_is_not_kept(look):
    page = look.go("/requests/r1", "textarea")
    page.route("**/api/requests/r1/review", lambda route: route.fulfill(status=202, json={}))
    page.get_by_label("Better answer").fill("The office opens at 9.")
    page.get_by_role("button", name="Record the correction").click()
    page.wait_for_selector("[role=status]:has-text('Correction recorded.')")
    page.get_by_role("link", name="Conversation").click()
    page.wait_for_selector("h1:has-text('Conversation')")
    page.keyboard.press("Escape")
    page.wait_for_selector("textarea")
    assert page.get_by_label("Better answer").input_value() == ""
