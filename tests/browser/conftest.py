"""A Chromium for the tests of the page, started once a module: Playwright's loop must end before another module's begins."""

import pytest
from support.console_page import Look, chromium, served_console


@pytest.fixture(scope="module")
def browser(chromium_path):
    with chromium(chromium_path) as found:
        yield found


@pytest.fixture
def look(browser, maker, tmp_path):
    with served_console(tmp_path) as served, Look(browser, served) as look:
        yield look
