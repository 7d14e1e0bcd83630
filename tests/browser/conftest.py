"""Start Chromium for the tests of the page, once for each module: the loop of Playwright must end before the next module starts."""

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
