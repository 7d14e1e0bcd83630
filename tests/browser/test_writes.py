"""What the page writes, and the texts that it reads: buttons in a real Chromium, over a real ledger on a real broker."""

import json
import time
from collections.abc import Iterator

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal
from support.console_page import Look, Served
from support.console_server import alert, running_desk, send
from support.kafka_log import sender
from support.ledger_log import end, explanation, request, verdict

from stream.wire import Event, Feedback, SilenceRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

#: The grin is one character to Python and two to JavaScript: places must count as score counts them.
PROMPT = "😀 you are an idiot"
KEY = b"of-its-conversation"
WORDS = ((2, 5, -1.0), (13, 18, 2.0))


class Operator:
    """Somebody at the page, and the log that the page writes to."""

    def __init__(self, portal, desk, look):
        self._portal, self._desk, self._look = portal, desk, look
        self.page = look.page
        self.asked: list[str] = []
        self.page.on(
            "request", lambda one: self.asked.append(one.url.rpartition("/")[2]) if one.method == "POST" else None
        )

    def go(self, path, wait):
        return self._look.go(path, wait)

    def read(self, topic, kind) -> list[tuple[int, bytes, object]]:
        """Return what stands on a topic, as (partition, key, data)."""
        found = self._portal.call(self._desk.topic, getattr(self._desk.kafka.names, topic))
        return [one for one in found if isinstance(one[2], kind)]

    def somebody_says(self, label) -> None:
        """Put a later judgement of al_2 on the log, by a key of its tenant."""
        said = Feedback(request_id="r2", tenant="acme", principal="k_bob", label=label, alert_id="al_2")
        event = Event(id="r2/feedback/bob", source="g", type=Feedback.event_type, time=time.time(), data=said)
        self._portal.call(self._send, event)

    async def _send(self, event) -> None:
        async with sender(self._desk.kafka) as to:
            await to.send(self._desk.kafka.names.feedback, event)

    def accesses(self):
        log = self._desk.home / "logs" / "access.log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [(one["command"], one["request_id"]) for one in lines]


async def _explained(desk) -> None:
    """Send a request whose toxicity verdict score had the time to explain, and an alert of it; then all that `send` sends."""
    now, names = time.time(), desk.kafka.names
    asked, ended = request("r2", now), end("r2", now + 0.5)
    prompted = msgspec.structs.replace(asked.data, prompt=PROMPT)
    asked = msgspec.structs.replace(asked, data=prompted, partitionkey=KEY.decode())
    flagged = verdict(asked, "toxicity", flagged=True, label="toxic")
    async with sender(desk.kafka) as to:
        await to.send(names.inference, asked, ended)
        await to.send(names.verdicts, verdict(asked, "pii"), flagged, verdict(ended, "pii"))
        await to.send(names.verdicts, explanation(asked, "toxicity", *WORDS))
        await to.send(names.alerts, alert("al_2", evidence=("r2",)))
    await send(desk)
    await desk.until("the explanation", "/api/requests/r2", _has_explanation)
    await desk.until("verdicts", "/api/requests", lambda found: all(not row["pending"] for row in found["requests"]))
    await desk.until("alerts", "/api/alerts", lambda found: len(found["alerts"]) == 2)


def _has_explanation(found):
    return any("explanation" in one and one["explanation"] for one in found["verdicts"])


@pytest.fixture
def operator(browser, embedded_broker, tmp_path) -> Iterator[Operator]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_desk(embedded_broker.bootstrap, tmp_path)) as desk,
    ):
        portal.call(_explained, desk)
        with Look(browser, Served(desk.settings, desk.settings.console.port, None)) as look:
            yield Operator(portal, desk, look)


def button(page, name):
    return page.get_by_role("button", name=name)


def test_right_is_on_the_log_under_the_key_of_its_request_and_the_page_says_so(operator):
    page = operator.go("/alerts/al_2", ".pane h2")
    button(page, "Right").click()
    page.wait_for_selector(".pane button[aria-pressed=true]:has-text('Right')")
    page.wait_for_selector(".row[aria-selected=true] .tag.right")
    page.wait_for_selector(".course .tag.right")
    ((partition, key, said),) = operator.read("feedback", Feedback)
    assert (partition, key) == (0, KEY)
    assert (said.label, said.alert_id, said.request_id) == ("right", "al_2", "r2")
    page.reload()
    page.wait_for_selector(".pane button[aria-pressed=true]:has-text('Right')")


def test_the_last_word_counts_though_another_was_said_here(operator):
    page = operator.go("/alerts/al_2", ".pane h2")
    button(page, "Right").click()
    page.wait_for_selector(".course .tag.right")
    operator.somebody_says("wrong")
    page.wait_for_selector(".pane button[aria-pressed=true]:has-text('Wrong')")
    page.wait_for_selector(".row[aria-selected=true] .tag.wrong")


def test_wrong_in_review_takes_the_alert_out_of_the_queue_and_opens_the_next(operator):
    page = operator.go("/review/al_1", ".pane h2")
    page.wait_for_selector(".row[aria-posinset='2']")
    button(page, "Wrong").click()
    page.wait_for_url("**/review/al_2")
    page.wait_for_selector(".row[aria-posinset='2']", state="detached")
    page.wait_for_selector(".pane .actions")
    page.keyboard.press("n")
    page.wait_for_selector(".empty")
    page.wait_for_url("**/review")
    said = [(one.alert_id, one.label) for _partition, _key, one in operator.read("feedback", Feedback)]
    assert sorted(said) == [("al_1", "wrong"), ("al_2", "wrong")]


def test_a_silence_is_filled_in_sent_shown_and_ended(operator):
    page = operator.go("/alerts/al_1", ".pane h2")
    button(page, "Silence…").click()
    page.wait_for_selector("dialog[open]")
    page.keyboard.type("load test")  # where the form puts the focus
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


def test_a_text_is_drawn_and_its_reading_is_written_down(operator):
    page = operator.go("/requests/r2", ".pane table")
    assert operator.accesses() == []
    button(page, "Show text").click()
    page.wait_for_selector(f".text:text-is('{PROMPT}')")
    page.wait_for_selector(".text:text-is('canary-answer')")
    assert operator.accesses() == [("console text", "r2")]


@pytest.mark.parametrize(("path", "name"), [("/requests/r2", "Which words"), ("/alerts/al_2", "why")])
def test_words_that_score_explained_are_drawn_from_the_ledger_and_nothing_is_computed(operator, path, name):
    page = operator.go(path, ".pane table")
    button(page, name).click()
    page.wait_for_selector(".text mark")
    drawn = [
        (one.inner_text(), one.get_attribute("class"), one.get_attribute("title")) for one in page.locator("mark").all()
    ]
    assert drawn == [("you", "against", "-1.00 log-odds"), ("idiot", "strong", "+2.00 log-odds")]
    assert page.locator(".text").inner_text() == PROMPT
    assert operator.asked == ["text"], "`explain` would start a process"
    assert operator.accesses() == [("console text", "r2")]
