"""Lists of several pages in a real Chromium: no row is skipped, duplicated, or lost when the list reloads."""

import time
from datetime import datetime
from urllib.parse import quote

import pytest
from support import alert_records
from support.console_ledger import NAMES, LedgerMaker
from support.events import event_of

from stream.ledger.queries.alert_pages import AlertQuery
from stream.ledger.queries.console_queries import LedgerPages
from stream.wire import RetrainingRecord
from weir.console import live_updates as live

#: Scroll to the end until the list states that all rows are loaded.
END = """() => new Promise((done) => {
  const box = document.querySelector('.list-box');
  const step = () => {
    box.scrollTop = box.scrollHeight;
    if (document.querySelector('.row')?.getAttribute('aria-setsize') !== '-1') done();
    else requestAnimationFrame(step);
  };
  step();
})"""


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "input", time.time(), flagged=("pii",))
    maker.beat(time.time())
    yield maker
    maker.close()


def shown(page):
    return page.locator("header [role=status]").inner_text()


def test_a_stream_with_slashes_in_its_name_opens_by_a_click_and_by_its_address(look, maker):
    tenant, model = "acme/eu", "org/model %2F?#"
    maker.windows(time.time(), tenant="other", model="m")
    maker.windows(time.time(), tenant=tenant, model=model)
    page = look.go("/drift", ".row")
    page.locator(".row", has_text=tenant).click()
    page.wait_for_selector(f".pane-head:has-text('{tenant} / {model} / input')")
    page.wait_for_selector(".pane canvas")
    assert page.url.endswith(f"/drift/{quote(tenant, safe='')}/{quote(model, safe='')}/input/drift")
    page.reload()
    page.wait_for_selector(f".pane-head:has-text('{tenant} / {model} / input')")
    page.wait_for_selector(".pane canvas")
    page.get_by_role("button", name="6h").click()
    page.wait_for_selector("[aria-pressed=true]:has-text('6h')")
    assert page.locator(".pane-head").inner_text().count(tenant) == 1


def test_a_stream_lists_the_alerts_of_its_own_part_and_version(look, maker):
    now = time.time()
    streams = {
        "input": ("", ""),
        "input/tool_result": ("tool_result", ""),
        "input@m_59a26d56f505": ("", "m_59a26d56f505"),
    }
    for name, (part, version) in streams.items():
        maker.windows(now, tenant="acme", model="m", part=part, model_version=version)
        fields = {"detector": "drift", "tenant": "acme", "model": "m", "side": "input", "part": part}
        record = alert_records.alert(
            f"al_{name}", model_version=version, opened_at=now, at=now, summary=f"changed {name}.", **fields
        )
        maker.apply(NAMES.alerts, event_of(record, f"{record.alert_id}/0", now))
    for address, summary in ((quote(name, safe=""), f"changed {name}.") for name in streams):
        page = look.go(f"/drift/acme/m/{address}/drift", ".pane canvas")
        page.wait_for_selector(".plain-list li")
        (listed,) = page.locator(".plain-list li").all_inner_texts()
        assert listed.endswith(summary)


def test_an_alert_and_its_silence_name_the_version_that_weir_trained(look, maker):
    now = time.time()
    record = alert_records.alert("al_1", model_version="m_59a26d56f505", opened_at=now, at=now)
    maker.apply(NAMES.alerts, event_of(record, "al_1/0", now))
    silence = alert_records.silence(record, now, now + 600)
    maker.apply(NAMES.alerts, event_of(silence, "si_1/0", now))
    page = look.go("/alerts", ".row")
    assert "acme / m / m_59a26d56f505 / input" in page.locator(".row").inner_text()
    page.locator(".row").click()
    page.wait_for_selector(".pane .facts:has-text('acme / m / m_59a26d56f505 / input')")
    page = look.go("/silences", "tbody th")
    assert page.locator("tbody th").inner_text() == "acme / m / m_59a26d56f505 / input / pii"


def test_a_stream_has_the_time_of_its_newest_window(look, maker):
    """A stream without traffic keeps the state of its newest window, such as an alarm of yesterday."""
    maker.windows(time.time() - 86_400, tenant="acme", model="m")
    (stream,) = LedgerPages(maker.directory).streams()
    page = look.go("/drift", ".row")
    shown_at = page.locator(".row time").get_attribute("datetime")
    assert datetime.fromisoformat(shown_at).timestamp() == pytest.approx(stream.time, abs=0.001)


def test_an_unknown_stream_is_reported(look, maker):
    maker.windows(time.time(), tenant="other", model="m")
    page = look.go("/drift/acme/m/input/drift", ".pane .empty")
    assert "no window of acme / m / input / drift" in page.locator(".pane").inner_text()


def test_a_state_without_a_reason_has_its_measurements(look, maker):
    where = {"retraining_id": "rt_1", "reason": "", "tenant": "acme", "model": "m"}
    dataset = RetrainingRecord(state="dataset", at=time.time() - 9, numbers={"train": 29.0, "eval": 6.0}, **where)
    trained = RetrainingRecord(state="trained", at=time.time(), numbers={"step": 4.0, "steps": 4.0, "loss": 5.7241, "seconds": 41.9}, **where)  # fmt: skip
    maker.retraining(dataset, trained)
    page = look.go("/retraining", ".timeline li")
    page.wait_for_function("document.querySelectorAll('.timeline li').length >= 2")
    shown = page.locator(".timeline li > p").all_inner_texts()
    assert shown[:2] == ["step 4 of 4, loss 5.724, 42 s", "29 rows to train on, 6 held out"]


def test_older_retraining_events_stay_when_the_list_reloads(look, maker):
    def decision(number, at, state="suppressed"):
        return RetrainingRecord(retraining_id=f"rt_{number:03d}", state=state, reason=f"reason {number}", tenant=f"tenant-{number}", model="m", at=at)  # fmt: skip

    now = time.time() - 1000
    maker.retraining(*(decision(number, now - number // 60) for number in range(250)))
    page = look.go("/retraining", ".timeline li")
    for count in (200, 250):
        page.get_by_role("button", name="Older").click()
        look.until(f"document.querySelectorAll('.timeline > li').length === {count}")
    assert page.get_by_role("button", name="Older").count() == 0
    maker.retraining(decision(0, now + 5, "requested"))
    page.wait_for_selector(".timeline li.requested", timeout=10_000)  # less than the 15 s of the poll
    ids = page.locator(".timeline > li .id").evaluate_all("all => all.map((one) => one.title)")
    assert len(ids) == 251
    assert set(ids) == {f"rt_{number:03d}" for number in range(250)}
    maker.retraining(*(decision(1000 + number, now + 10) for number in range(150)))
    page.wait_for_selector("text=reason 1149", timeout=10_000)
    for count in (200, 300):
        page.get_by_role("button", name="Older").click()
        look.until(f"document.querySelectorAll('.timeline > li').length === {count}")


def test_a_training_has_a_reject_button_while_it_runs(look, maker):
    def state(name, at, identity="rt_1", **fields):
        own = {"tenant": "acme", "model": "m", "reason": "", "at": at}
        return RetrainingRecord(retraining_id=identity, state=name, **own, **fields)

    lease = {"lease_until": time.time() + 60}
    now = time.time()
    maker.retraining(state("requested", now - 9), state("approved", now - 8), state("dataset", now - 7, **lease))
    maker.retraining(state("started", now - 6, **lease), state("progress", now - 5, **lease))
    maker.retraining(state("requested", now - 4, "rt_own"), state("started", now - 3, "rt_own"))
    page = look.go("/retraining", ".timeline li.progress button")
    assert page.locator(".timeline button").all_inner_texts() == ["Reject"]
    page.get_by_role("button", name="Reject").click()
    shown = page.locator("dialog p").inner_text()
    assert "acme / m: state progress. This ends the training or gate in progress. No version is delivered." in shown
    page.keyboard.press("Escape")
    maker.retraining(state("rejected", now - 1))
    page.wait_for_selector(".timeline li.rejected", timeout=10_000)  # less than the 15 s of the poll
    assert page.locator(".timeline button").count() == 0


def test_suppressions_with_the_same_failing_gates_are_one_entry(look, maker):
    def suppressed(number, **gates):
        return RetrainingRecord(
            retraining_id=f"rt_{number}",
            state="suppressed",
            reason=f"{number} windows, needs 9",
            tenant="acme",
            model="m",
            at=1_000.0 + number,
            gates=gates,
        )

    few, both = {"windows": False, "agree": True}, {"windows": False, "agree": False}
    maker.retraining(*(suppressed(number, **few) for number in range(5)), suppressed(5, **both), suppressed(6, **few))
    page = look.go("/retraining", ".timeline li")
    entries = page.locator(".timeline > li")
    assert entries.count() == 2
    assert "6 windows" in entries.first.inner_text()
    assert "6 times since" in entries.first.inner_text()
    assert "times" not in entries.last.inner_text()
    assert page.locator("header [role=status]").inner_text() == "7 events"


def test_the_count_of_suppressions_has_a_plus_until_all_events_are_loaded(look, maker):
    fields = {"state": "suppressed", "reason": "windows: has 1, needs 2", "tenant": "acme", "model": "m"}
    maker.retraining(*(RetrainingRecord(retraining_id=f"rt_{at}", at=1_000.0 + at, **fields) for at in range(250)))
    page = look.go("/retraining", ".timeline li")
    entry = page.locator(".timeline > li")
    assert "100+ times since" in entry.inner_text()
    assert " or earlier" in entry.inner_text()
    for count in ("200+", "250"):
        page.get_by_role("button", name="Older").click()
        page.wait_for_selector(f".timeline li:has-text('{count} times since')")
    assert " or earlier" not in entry.inner_text()


def test_an_alert_is_shown_once_and_stays_when_the_list_reloads(look, maker, tmp_path):
    maker.alerts(450)
    page = look.go("/alerts?state=", ".row")
    look.until("document.querySelector('header [role=status]').textContent === '200+ shown'")
    everything = LedgerPages(tmp_path / "ledger").alerts(AlertQuery(limit=500), 0.0).alerts
    maker.change(everything[300].alert_id, time.time(), summary="of the second page, changed before it was read")
    look.until("document.querySelector('header [role=status]').textContent === '201+ shown'")
    page.evaluate(END)
    assert shown(page) == "450 shown"
    page.wait_for_selector(".row[aria-posinset='450']")
    for one in everything[:120]:
        maker.change(one.alert_id, time.time(), summary="one of a storm")
    page.evaluate("document.querySelector('.list-box').scrollTop = 0")
    page.wait_for_selector(".row[aria-posinset='1']:has-text('one of a storm')")
    page.evaluate(END)
    page.wait_for_selector(".row[aria-posinset='450']")
    assert shown(page) == "450 shown"


def test_a_search_result_stays_when_its_alert_changes(look, maker):
    maker.alerts(20, evidence=("r1", "r-sought"))
    page = look.go("/alerts?state=&q=r-sought", ".row")
    assert shown(page) == "20 shown"
    first = page.locator(".row").first
    name = LedgerPages(maker.directory).alerts(AlertQuery(limit=1), 0.0).alerts[0].alert_id
    maker.change(name, time.time(), summary="changed, and no word of it")
    first.filter(has_text="changed, and no word of it").wait_for()
    assert shown(page) == "20 shown"


#: Type, and dispatch changed alerts before the list requests the typed search.
TYPED = """async () => {
  const { live } = await import("/web/api.js");
  const box = document.querySelector("input[type=search]");
  box.value = "number 7";
  box.dispatchEvent(new InputEvent("input", { bubbles: true }));
  live.dispatchEvent(new CustomEvent("alerts", { detail: [] }));
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  return box.value;
}"""


def test_typed_text_is_kept_when_changes_arrive(look, maker):
    maker.alerts(20)
    page = look.go("/alerts?state=", ".row")
    assert page.evaluate(TYPED) == "number 7"
    page.wait_for_url("**q=number+7**")
    look.until("document.querySelectorAll('.row').length === 1")


def test_a_page_reconnects_when_another_page_has_closed(look, monkeypatch):
    monkeypatch.setattr(live, "_MAX_CLIENTS", 1)
    page = look.page.context.new_page()
    page.goto(f"{look.served.address}/live")
    page.wait_for_selector(".side .state.warning:has-text('connecting')")
    monkeypatch.setattr(live, "_MAX_CLIENTS", 16)
    page.wait_for_selector(".side .state.good")


def test_an_invalid_address_does_not_give_a_blank_page(look):
    page = look.go("/drift/%zz/%", ".pane .empty, .list-box .empty")
    assert page.locator("h1").inner_text() == "Drift"
