"""Start Chromium for the tests of the page, once for each module: the loop of Playwright must end before the next module starts."""

import time

import pytest
from support.console_ledger import LedgerMaker
from support.console_page import Look, chromium, served_console


@pytest.fixture(scope="module")
def browser(chromium_path):
    with chromium(chromium_path) as found:
        yield found


@pytest.fixture
def maker(tmp_path):
    """A ledger with a request and six alerts; some files have another one."""
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
