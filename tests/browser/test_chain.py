"""The causal chain of a model version and the detectors' precision in a real Chromium, with a real ledger and broker."""

import re

import pytest
from anyio.from_thread import start_blocking_portal
from axe_playwright_python.sync_playwright import Axe
from support import alert_records
from support.commands import Commands
from support.console_page import Look, Served
from support.console_server import running_console
from support.events import event_of
from support.kafka_log import sender
from support.lineage_log import BAD, GOOD, TOXIC, lineage, write_dataset

from detectors.text.toxicity import ToxicityDetector
from stream.wire import Feedback

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(480)]


async def written(console, without=frozenset(), alerts=2):
    """Write the log of the two versions; wait until the ledger has read the log."""
    digest = write_dataset(console.home, console.kafka.names)
    async with sender(console.kafka) as to:
        for topic, event in lineage(console.kafka.names, digest, without=without):
            await to.send(topic, event)
    await console.until("the versions", "/api/models", lambda found: len(found["models"]) == 2)
    await console.until("the alerts", "/api/alerts", lambda found: len(found["alerts"]) == alerts)


async def reviewed(console, scores, tenant):
    """Write a toxicity alert with a review for each (score, label)."""
    alerts = [
        alert_records.alert(f"al_{row}", detector="toxicity", score=score, tenant=tenant)
        for row, (score, _) in enumerate(scores)
    ]
    async with sender(console.kafka) as to:
        await to.send(console.kafka.names.alerts, *map(alert_records.event, alerts))
        for row, (_, label) in enumerate(scores):
            data = Feedback(request_id="r1", tenant=tenant, principal="console:ann", label=label, alert_id=f"al_{row}")
            await to.send(console.kafka.names.feedback, event_of(data, f"f/{row}", 200.0))

    def all_reviewed(found):
        counts = [one["precision"] for one in found["detectors"]]
        return sum(one["right"] + one["wrong"] for one in counts) == len(scores)

    await console.until("the reviews", "/api/detectors", all_reviewed)


@pytest.fixture
def stage(embedded_broker, tmp_path, monkeypatch):
    """Run the console with the environment that `weir why` reads in its separate process."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running_console(embedded_broker.bootstrap, tmp_path)) as console,
    ):
        for name, value in Commands(tmp_path, console.kafka).env.items():
            if name.startswith("WEIR_"):
                monkeypatch.setenv(name, value)
        yield portal, console, Served(console.settings, console.settings.console.port, None)


def grave(page):
    violations = Axe().run(page).response["violations"]
    return [
        (one["id"], one["nodes"][0]["html"][:160]) for one in violations if one["impact"] in ("serious", "critical")
    ]


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def chain(look, version):
    """Open the page of a version and wait for its chain: `weir why` starts and reads the log."""
    page = look.go(f"/models/{version}", ".pane-head")
    page.wait_for_selector(".chain-box.model", timeout=150_000)
    return page


def test_the_chain_of_a_version_is_drawn_with_the_check_of_each_edge(browser, stage):
    portal, console, site = stage
    portal.call(written, console)
    with Look(browser, site, width=1440, height=900) as look:
        page = look.go("/retraining", ".timeline li")
        page.get_by_role("link", name=GOOD).first.click()
        page.wait_for_selector(".chain-box.model", timeout=150_000)
        rows = page.locator(".chain-row").evaluate_all(
            "all => all.map((row) => [...row.children].map((box) => box.dataset.box))"
        )
        assert [len(row) for row in rows] == [2, 2, 2, 3, 1, 1, 1, 1, 5]
        assert "none is broken" in page.locator(".pane [role=status]").first.inner_text()
        assert page.locator(".chain path").count() == 17
        assert page.locator(".chain path.broken").count() == 0
        checks = page.locator(".chain-box.alert .checks").first.inner_text()
        assert "12 of 12: Kafka has the request, and a verdict or a finding" in checks
        assert not re.search("canary-(prompt|answer)", page.content()), (
            "the page contains text of a prompt or of an answer"
        )
        assert not (console.home / "logs" / "access.log").exists()
        assert fits(page)
        assert grave(page) == []
        assert page.locator(".chain-box.requests a").first.get_attribute("href") == f"/requests/{TOXIC[0]}"
        page.locator(".chain-box.alert a").first.click()
        page.wait_for_selector(".pane h2")
        assert "/alerts/al_" in page.url
        page = chain(look, BAD)
        assert page.locator(".chain-box.parent a").inner_text() == GOOD
        assert page.locator(".chain-box.blessed h3").inner_text().startswith("Decision of an operator")
        assert page.locator(".chain-box.blessed").count() == 1, (
            "the chain must not contain the decision of the gate about the parent"
        )
    with Look(browser, site, scheme="dark", width=480, height=900) as look:
        page = chain(look, GOOD)
        assert fits(page)
        assert grave(page) == []


def test_a_missing_record_is_a_red_edge_with_its_reason(browser, stage):
    lost = frozenset({f"{TOXIC[3]}/request", "al_drift/0", "rt_1/dataset"})
    portal, console, site = stage
    portal.call(written, console, lost, 1)
    with Look(browser, site, width=1280) as look:
        page = chain(look, GOOD)
        assert page.locator(".pane [role=status]").first.inner_text().startswith("3 of ")
        assert page.locator(".chain path.broken").count() == 4
        text = page.locator(".chain").inner_text()
        assert f"Kafka has no request {TOXIC[3]}" in text
        assert "Kafka has no alert al_drift" in text
        assert "Kafka has no state dataset of rt_1" in text
        page.goto(f"{site.address}/models/m_unknown")
        page.wait_for_selector(".pane .error-box", timeout=150_000)
        assert "no version 'm_unknown'" in page.locator(".pane .error-box").inner_text()
        look.troubles.clear()  # the browser reports the status 404


def test_the_precision_of_a_detector_is_shown_with_the_proposed_threshold(browser, stage):
    threshold = ToxicityDetector.threshold
    scores = [(threshold + 0.005 + 0.008 * row, "right" if row >= 20 else "wrong") for row in range(40)]
    portal, console, site = stage
    portal.call(reviewed, console, [*scores], "ann's team")
    with Look(browser, site, scheme="dark") as look:
        page = look.go("/live", "h1")
        page.keyboard.press("g")
        page.keyboard.press("e")
        page.wait_for_selector(".detector tbody tr:nth-child(2)")
        present, proposed = page.locator(".detector tbody tr").all_inner_texts()
        assert present.split("\t")[:5] == ["present", f"{threshold:g}", "40", "20", "50 %"]
        assert proposed.split("\t")[0] == "proposed"
        assert float(proposed.split("\t")[1]) > threshold + 0.1
        command = "weir detectors tune --tenant 'ann'\\''s team' --detector toxicity --apply"
        assert page.locator(".detector code").inner_text() == command, (
            "the tenant must be quoted as one word of a shell"
        )
        assert grave(page) == []
