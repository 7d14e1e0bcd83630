"""Texts and the form of a correction in the pane of a request, in a real Chromium."""

import time

import pytest
from support import alert_records
from support.console_ledger import NAMES, LedgerMaker
from support.events import event_of
from support.ledger_log import explanation, request, verdict


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    for request_id in ("r1", "r2"):
        maker.side(request_id, "input", time.time())
        maker.side(request_id, "output", time.time())
    maker.beat(time.time())
    yield maker
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


def message(role, text):
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def test_a_text_cannot_reverse_or_hide_its_characters(look):
    harmless = "\n\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f468\u200d\U0001f469 co\u00adop"
    prompt = f"pay 100 \u202eEUR 009\u202c to Bob\x07\ufeff\u200b\U000e0041{harmless}"
    text = {"prompt": prompt, "messages": [message("user", prompt)], "answer": None, "choices": []}
    page = look.go("/requests/r1", "textarea")
    page.route("**/api/requests/r1/text", lambda route: route.fulfill(json={"text": text}))
    page.get_by_role("button", name="Show text").click()
    shown = f"pay 100 \ufffdEUR 009\ufffd to Bob\ufffd\ufffd\ufffd\ufffd{harmless}"
    assert page.locator(".text").evaluate("text => text.textContent") == shown


def test_a_text_is_shown_in_the_direction_of_its_language(look):
    prompt, answer = "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643!", "Welcome!"
    text = {"prompt": prompt, "messages": [message("user", prompt)], "answer": answer, "choices": [message("assistant", answer)]}  # fmt: skip
    page = look.go("/requests/r1", "textarea")
    page.route("**/api/requests/r1/text", lambda route: route.fulfill(json={"text": text}))
    page.get_by_role("button", name="Show text").click()
    page.wait_for_selector(".text")
    assert [box.evaluate(RIGHT_TO_LEFT) for box in page.locator(".text").all()] == [True, False]


def test_the_words_of_every_flagged_verdict_are_shown_if_only_one_has_a_stored_explanation(look, maker):
    detectors = ("injection", "toxicity")
    asked = request("r3", time.time(), owed=detectors)
    maker.apply(NAMES.inference, asked)
    maker.apply(NAMES.verdicts, *(verdict(asked, name, flagged=True, label=name) for name in detectors))
    maker.apply(NAMES.verdicts, explanation(asked, "toxicity", (0, 6, 0.9)))
    alert = alert_records.alert("al_1", detector="injection", evidence=("r3",), evidence_total=1)
    maker.apply(NAMES.alerts, event_of(alert, "al_1/0", time.time()))
    words = {"side": "input", "score": 0.9, "version": "1", "explained_by": "1", "attributions": [], "part": ""}
    computed = [words | {"detector": name, "text": "canary-prompt"} for name in detectors]
    page = look.page
    page.route("**/api/requests/r3/text", lambda route: route.fulfill(json={"text": {"prompt": "canary-prompt"}}))
    page.route("**/api/requests/r3/explain", lambda route: route.fulfill(json={"explanations": computed}))
    for path, button in (("/alerts/al_1?state=", "why"), ("/requests/r3", "Which words")):
        look.go(path, ".pane table").get_by_role("button", name=button).click()
        heads = page.locator(".pane h3:has-text('Words of')")
        heads.first.wait_for()
        assert [head.inner_text().split()[2] for head in heads.all()] == list(detectors)
