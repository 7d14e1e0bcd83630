"""A running console, and a Chromium that opens its pages."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from playwright.sync_api import Browser, Page, sync_playwright

from support.receiver import receiver
from support.stack import free_port, until
from weir.console.server import Console
from weir.console.sessions import ensure_token, link_token
from weir.settings import Settings

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Served:
    """A running console, its address and its sign-in link."""

    def __init__(self, settings, port, trace_template):
        self.settings = settings
        self.address = f"http://127.0.0.1:{port}"
        self.trace_template = trace_template

    def link(self):
        return f"{self.address}/?token={link_token(ensure_token(self.settings.home), time.time())}"


@contextmanager
def served_console(home, **sections) -> Iterator[Served]:
    """Serve the console of the ledger in `home`; its trace links lead to a receiver in this process."""
    with receiver() as page:
        port, template = free_port(), page.url.replace("/hook", "/trace/{trace_id}")
        settings = Settings(trace={"view": template}, console={"port": port}, **sections)
        settings = settings.model_copy(update={"home": home})
        console = Console(settings, port, {}).start()
        try:
            until("the console answers", lambda: connects(port), 20, 0.02)
            yield Served(settings, port, template)
        finally:
            console.stop()


def connects(port):
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


@contextmanager
def chromium(path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def hide(page, hidden):
    """Let `page` believe that its tab is hidden, or visible again."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


class Look:
    """A page of the console; `troubles` has its errors, `hosts` the hosts that it requested."""

    def __init__(self, browser: Browser, served: Served, *, scheme="light", width=1280, height=800, zone=None):
        size = {"width": width, "height": height}
        self._context = browser.new_context(viewport=size, color_scheme=scheme, timezone_id=zone)
        self.served = served
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(15_000)
        self.troubles: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self.troubles.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def __enter__(self):
        self.page.goto(self.served.link())
        self.page.wait_for_selector(".side .state.good")
        return self

    def __exit__(self, kind, *_error):
        try:
            if kind is None:
                assert not self.troubles, self.troubles
                assert self.hosts == {self.served.address.removeprefix("http://")}
        finally:
            self._context.close()

    def go(self, path, wait):
        """Open `path` and wait for the selector `wait`."""
        self.page.goto(self.served.address + path)
        self.page.wait_for_selector(wait)
        return self.page

    def until(self, expression):
        """Wait until `expression` is true. Evaluate it from outside, since the page's security policy forbids evaluating strings."""
        deadline = time.monotonic() + 15
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"{expression} was not true within 15 s"
            self.page.wait_for_timeout(50)

    def opened_by(self, act):
        """Return the address of the tab that `act` opens."""
        with self._context.expect_page() as found:
            act()
        return found.value.url
