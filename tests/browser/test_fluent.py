"""With ten thousand alerts or 200 events a second, the page draws few rows."""

import threading
import time

from support.console_ledger import LedgerMaker
from support.console_page import Look, served_console

ALERTS = 10_000
DRAWN = 60
SECONDS = 4
EVENTS_PER_SECOND = 200
SCROLL = """() => new Promise((done) => {
  const box = document.querySelector('.list-box');
  const step = () => {
    box.scrollTop += 600;
    const list = document.querySelector('.list');
    if (list.clientHeight >= 58 * 10000 && box.scrollTop + box.clientHeight >= list.clientHeight) done();
    else requestAnimationFrame(step);
  };
  step();
})"""


def rows(page):
    return page.locator(".row").count()


def test_ten_thousand_alerts_are_scrolled_to_the_end(browser, tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "input", time.time(), flagged=("pii",))
    maker.alerts(ALERTS)
    maker.beat(time.time())
    with served_console(tmp_path) as served, Look(browser, served) as look:
        page = look.go("/alerts?state=", ".row")
        page.evaluate(SCROLL)
        assert page.locator("header [role=status]").inner_text() == f"{ALERTS} shown"
        page.wait_for_selector(f".row[aria-posinset='{ALERTS}']")
        assert 10 < rows(page) < DRAWN
        page.locator(".row").last.click()
        page.wait_for_selector(".pane h2")
        for _ in range(60):
            page.keyboard.press("k")
        assert page.locator(".row[aria-selected=true]").get_attribute("aria-posinset") == str(ALERTS - 60)
        page.keyboard.press("/")
        page.keyboard.type("number 9876")
        look.until("document.querySelectorAll('.row').length === 1")
    maker.close()


def test_two_hundred_events_per_second_are_shown(browser, tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.beat(time.time())
    stop, sent = threading.Event(), []

    def pour():
        began, number = time.monotonic(), 0
        while not stop.is_set():
            due = int((time.monotonic() - began) * EVENTS_PER_SECOND / 2)
            for _ in range(min(due - number, 50)):
                now = time.time()
                for side in ("input", "output"):
                    maker.side(f"p{number:06d}", side, now, flagged=("pii",) if number % 20 == 0 else ())
                sent.append(number)
                number += 1
            maker.beat(time.time())
            stop.wait(0.02)

    with served_console(tmp_path) as served, Look(browser, served) as look:
        page = look.go("/live", ".tiles")
        thread = threading.Thread(target=pour)
        thread.start()
        try:
            page.wait_for_selector(".row")
            page.wait_for_timeout(SECONDS * 1000)
        finally:
            stop.set()
            thread.join()
        last = f"p{sent[-1]:06d}"
        look.until(f"document.querySelector('.row .id').title === '{last}'")
        assert rows(page) < DRAWN
        page.keyboard.press("p")
        assert page.locator("[aria-keyshortcuts=p]").get_attribute("aria-pressed") == "true"
    maker.close()
