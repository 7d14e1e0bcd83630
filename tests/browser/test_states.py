"""What the page says about the ledger and about its own replies, in a real Chromium."""

import time

import pytest
from support.console_ledger import LedgerMaker
from support.console_page import Look, served_console

from stream.ledger.decisions import Heartbeat

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "input", time.time(), flagged=("pii",))
    maker.side("r1", "output", time.time())
    maker.alerts(6, evidence=("r1",))
    maker.beat(time.time())
    yield maker
    maker.close()


@pytest.fixture
def look(browser, maker, tmp_path):
    with served_console(tmp_path) as served, Look(browser, served) as look:
        yield look


def test_a_ledger_without_a_heartbeat_is_not_called_up_to_date(look, maker):
    page = look.go("/live", ".row")
    then = time.time() - 60
    maker.store.decisions.beat(Heartbeat(wall_time=then, log_time=then, advanced_at=then, caught_up=True, lag={}))
    page.wait_for_selector(".side .state.critical:has-text('the ledger has stopped')")
    page.wait_for_selector(".tile .bad:has-text('the ledger has stopped')")
