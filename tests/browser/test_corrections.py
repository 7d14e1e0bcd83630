"""Texts and the form of a correction in the pane of a request, in a real Chromium."""

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


#: Whether the last character is left of the first.
RIGHT_TO_LEFT = """box => {
  const left = (at) => {
    const range = document.createRange();
    range.setStart(box.firstChild, at);
    range.setEnd(box.firstChild, at + 1);
    return range.getBoundingClientRect().left;
  };
  return left(box.textContent.length - 1) < left(0);
}"""


def test_a_text_is_shown_in_the_direction_of_its_language(look):
    def message(role, text):
        return {"role": role, "parts": [{"type": "text", "content": text}]}

    prompt, answer = "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643!", "Welcome!"
    text = {"prompt": prompt, "messages": [message("user", prompt)], "answer": answer, "choices": [message("assistant", answer)]}  # fmt: skip
    page = look.go("/requests/r1", "textarea")
    page.route("**/api/requests/r1/text", lambda route: route.fulfill(json={"text": text}))
    page.get_by_role("button", name="Show text").click()
    page.wait_for_selector(".text")
    assert [box.evaluate(RIGHT_TO_LEFT) for box in page.locator(".text").all()] == [True, False]
