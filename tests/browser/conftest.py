"""A Chromium for the tests of the page, started once a module: Playwright's loop must end before another module's begins."""

import pytest
from support.console_page import chromium


@pytest.fixture(scope="module")
def browser(chromium_path):
    with chromium(chromium_path) as found:
        yield found
