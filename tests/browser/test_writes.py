"""Buttons of the page that publish records or read texts, in a real Chromium with a real ledger and broker."""

import json
import time
from collections.abc import Iterator

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal
from support.console_page import Look, Served
from support.console_server import alert, running_console, send, send_drift
from support.kafka_log import sender
from support.ledger_log import end, explanation, request, verdict

from stream.wire import (
    CorrectionRecord,
    Event,
    Feedback,
    RetrainingRecord,
    SilenceRecord,
    partition_for,
    tenant_model_key,
)
from weir.demo.prompts import ORDINARY
from weir.home.api_keys import create_key

pytestmark = pytest.mark.kafka

#: The emoji is one character in Python and two in JavaScript; offsets count the characters of Python.
PROMPT = "😀 you are an idiot"
KEY = b"of-its-conversation"
WORDS = ((2, 5, -1.0), (13, 18, 2.0))


class Operator:
    """Use the page as an operator, and read the topics to which the page writes."""

    def __init__(self, portal, console, look):
        self._portal, self._console, self._look = portal, console, look
        self.page = look.page
        self.asked: list[str] = []
        self.page.on(
            "request", lambda one: self.asked.append(one.url.rpartition("/")[2]) if one.method == "POST" else None
        )

    def go(self, path, wait):
        return self._look.go(path, wait)

    def read(self, topic, kind) -> list[tuple[int, bytes, object]]:
        """Return the records of one kind on a topic, as (partition, key, data)."""
        found = self._portal.call(self._console.topic, getattr(self._console.kafka.names, topic))
        return [one for one in found if isinstance(one[2], kind)]

    def review_elsewhere(self, label) -> None:
        """Publish a later review of al_2 by an API key of the tenant."""
        review = Feedback(request_id="r2", tenant="acme", principal="k_bob", label=label, alert_id="al_2")
        event = Event(id="r2/feedback/bob", source="g", type=Feedback.event_type, time=time.time(), data=review)
        self._portal.call(self._send, event)

    def request_retraining(self, name) -> None:
        where = {"tenant": "acme", "model": "m", "at": time.time()}
        data = RetrainingRecord(retraining_id=name, state="requested", reason="two agree", **where)
        event = Event(id=name, source="t", type=data.event_type, time=data.at, data=data)
        self._portal.call(self._send, event, "retraining", partition_for(tenant_model_key("acme", "m"), 2))
        self._portal.call(
            self._console.until, "the request", "/api/retraining", lambda found: name in str(found["retraining"])
        )
        self.go("/retraining", "li.requested")

    def approver(self) -> str:
        """Return a new API key with the scope `approve`."""
        return create_key(self._console.home, "acme", ("approve",))[1]

    def send_drift(self, earlier, recent) -> None:
        """Publish requests and a drift alert; wait until the ledger has them."""
        self._portal.call(send_drift, self._console.kafka, earlier, recent)
        self._portal.call(
            self._console.until,
            "the alert",
            "/api/alerts/al_drift",
            lambda found: len(found["evidence"]) == len(recent),
        )

    async def _send(self, event, topic="feedback", partition=0) -> None:
        async with sender(self._console.kafka) as to:
            await to.send(getattr(self._console.kafka.names, topic), event, partition=partition)

    def accesses(self):
        log = self._console.home / "logs" / "access.log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [(one["command"], one["request_id"]) for one in lines]


async def _explained(console) -> None:
    """Publish a request with an explained toxicity verdict and its alert, then the events of `send`."""
    now, names = time.time(), console.kafka.names
    asked, ended = request("r2", now, text=PROMPT), end("r2", now + 0.5)
    asked = msgspec.structs.replace(asked, partitionkey=KEY.decode())
    flagged = verdict(asked, "toxicity", flagged=True, label="toxic")
    async with sender(console.kafka) as to:
        await to.send(names.inference, asked, ended)
        await to.send(names.verdicts, verdict(asked, "pii"), flagged, verdict(ended, "pii"))
        await to.send(names.verdicts, explanation(asked, "toxicity", *WORDS))
        await to.send(names.alerts, alert("al_2", evidence=("r2",)))
    await send(console)
    await console.until("the explanation", "/api/requests/r2", _has_explanation)
    await console.until("verdicts", "/api/requests", lambda found: all(not row["pending"] for row in found["requests"]))
    await console.until("alerts", "/api/alerts", lambda found: len(found["alerts"]) == 2)


def _has_explanation(found):
    return any("explanation" in one and one["explanation"] for one in found["verdicts"])


@pytest.fixture
def operator(browser, embedded_broker, tmp_path) -> Iterator[Operator]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_console(embedded_broker.bootstrap, tmp_path)) as console,
    ):
        portal.call(_explained, console)
        with Look(browser, Served(console.settings, console.settings.console.port, None)) as look:
            yield Operator(portal, console, look)


def button(page, name):
    return page.get_by_role("button", name=name)


def test_a_review_is_published_with_the_key_of_its_request_and_shown(operator):
    page = operator.go("/alerts/al_2", ".pane h2")
    button(page, "Right").click()
    page.wait_for_selector(".pane button[aria-pressed=true]:has-text('Right')")
    page.wait_for_selector(".row[aria-selected=true] .tag.right")
    page.wait_for_selector(".course .tag.right")
    ((partition, key, review),) = operator.read("feedback", Feedback)
    assert (partition, key) == (0, KEY)
    assert (review.label, review.alert_id, review.request_id) == ("right", "al_2", "r2")
    page.reload()
    page.wait_for_selector(".pane button[aria-pressed=true]:has-text('Right')")


def test_a_later_review_of_another_client_replaces_that_of_the_page(operator):
    page = operator.go("/alerts/al_2", ".pane h2")
    button(page, "Right").click()
    page.wait_for_selector(".course .tag.right")
    operator.review_elsewhere("wrong")
    page.wait_for_selector(".pane button[aria-pressed=true]:has-text('Wrong')")
    page.wait_for_selector(".row[aria-selected=true] .tag.wrong")


def test_a_review_in_the_queue_opens_the_next_alert(operator):
    page = operator.go("/review/al_1", ".pane h2")
    page.wait_for_selector(".row[aria-posinset='2']")
    button(page, "Wrong").click()
    page.wait_for_url("**/review/al_2")
    page.wait_for_selector(".row[aria-posinset='2']", state="detached")
    page.wait_for_selector(".pane .actions")
    page.keyboard.press("n")
    page.wait_for_selector(".empty")
    page.wait_for_url("**/review")
    review = [(one.alert_id, one.label) for _partition, _key, one in operator.read("feedback", Feedback)]
    assert sorted(review) == [("al_1", "wrong"), ("al_2", "wrong")]


def test_a_silence_is_created_shown_and_ended(operator):
    page = operator.go("/alerts/al_1", ".pane h2")
    button(page, "Silence…").click()
    page.wait_for_selector("dialog[open]")
    page.keyboard.type("load test")  # the form focuses the field of the reason
    button(page, "8h").click()
    button(page, "Silence for 8h").click()
    page.wait_for_selector("dialog", state="detached")
    page.wait_for_selector(".pane-head :text('silenced')")
    page.wait_for_selector(".row[aria-selected=true] :text('silenced')")
    ((_partition, _key, made),) = operator.read("alerts", SilenceRecord)
    assert (made.alert_id, made.reason, round(made.until - made.at)) == ("al_1", "load test", 8 * 3600)
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_selector("td:text('load test')")
    button(page, "End").click()
    page.wait_for_selector("text=Nothing is silenced")
    *_, (_partition, _key, ended) = operator.read("alerts", SilenceRecord)
    assert ended.until == ended.at
    page = operator.go("/alerts/al_1", ".pane h2")
    page.wait_for_selector(".row[aria-selected=true]")
    page.wait_for_selector(":text-is('silenced')", state="detached")


def test_a_text_is_shown_and_its_access_is_logged(operator):
    page = operator.go("/requests/r2", ".pane table")
    assert operator.accesses() == []
    button(page, "Show text").click()
    page.wait_for_selector(f".text:text-is('{PROMPT}')")
    page.wait_for_selector(".text:text-is('canary-answer')")
    assert operator.accesses() == [("console text", "r2")]


@pytest.mark.parametrize(("path", "name"), [("/requests/r2", "Which words"), ("/alerts/al_2", "why")])
def test_explanations_of_score_are_shown_from_the_ledger_and_not_computed(operator, path, name):
    page = operator.go(path, ".pane table")
    button(page, name).click()
    page.wait_for_selector(".text mark")
    drawn = [
        (one.inner_text(), one.get_attribute("class"), one.get_attribute("title")) for one in page.locator("mark").all()
    ]
    assert drawn == [("you", "against", "-1.00 log-odds"), ("idiot", "strong", "+2.00 log-odds")]
    assert page.locator(".text").inner_text() == PROMPT
    assert operator.asked == ["text"], "the page must not request `explain`, which starts a process"
    assert operator.accesses() == [("console text", "r2")]


def test_the_typical_terms_of_a_drift_alert_are_computed_on_request_and_every_access_is_logged(operator):
    prompts = [f"Why does my SQL query number {number} lock the table?" for number in range(4)]
    operator.send_drift(ORDINARY[:20], prompts)
    page = operator.go("/alerts/al_drift", ".pane .terms")
    assert operator.accesses() == []
    button(page, "Typical terms").click()
    page.wait_for_selector(".term-list li")
    terms = page.locator(".term-list li").all_inner_texts()
    assert {"sql 4", "query 4", "table 4"} <= {" ".join(term.split()) for term in terms}
    assert "4 evidence texts and 23 earlier texts" in page.locator(".terms").inner_text()
    assert len(operator.accesses()) == 4 + 23
    assert {command for command, _request in operator.accesses()} == {"console terms"}


def test_an_answer_is_corrected_in_the_pane_of_its_request(operator):
    page = operator.go("/requests/r2", ".pane textarea")
    button(page, "Approve the answer").wait_for()
    page.get_by_label("Better answer").fill("Lima")
    assert button(page, "Approve the answer").is_disabled()
    button(page, "Record the correction").click()
    page.get_by_text("Correction recorded.").wait_for()
    ((_, key, correction),) = operator.read("inference", CorrectionRecord)
    assert (key, correction.answer, correction.request_id, correction.approved) == (KEY, "Lima", "r2", False)


def test_a_retraining_request_is_rejected_with_a_key(operator):
    page = operator.go("/retraining", ".timeline")
    operator.request_retraining("rt_9")
    button(page, "Reject").click()
    page.get_by_label("API key with the scope approve").fill(operator.approver())
    page.get_by_label("Reason").fill("holiday traffic")
    page.locator("dialog").get_by_role("button", name="Reject").click()
    page.locator(".timeline li.rejected").wait_for(timeout=10_000)  # less than the 15 s of the poll
    records = [data for _, _, data in operator.read("retraining", RetrainingRecord)]
    assert [(one.state, one.reason) for one in records if one.retraining_id == "rt_9"][-1] == (
        "rejected",
        "holiday traffic",
    )
    assert button(page, "Reject").count() == 0
