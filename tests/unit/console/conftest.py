import time

import httpx
import pytest
from support.console_ledger import LedgerMaker

from weir.console.app import console_app
from weir.console.sessions import Sessions, ensure_token
from weir.settings import load_settings

PORT = 18_080


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIR_CONFIG", raising=False)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("WEIR_TRACE__VIEW", "http://127.0.0.1:16686/trace/{trace_id}")
    return load_settings().settings


@pytest.fixture
def ledger(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    yield maker
    maker.close()


class Page:
    """A client of the console in this process; it sends the token of the home as a bearer token."""

    def __init__(self, settings):
        self.secret = ensure_token(settings.home)
        self.sessions = Sessions(self.secret, clock=time.time)
        app = console_app(settings, self.sessions, PORT)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True), base_url=f"http://127.0.0.1:{PORT}"
        )

    async def answer(self, path, **parameters):
        return await self.client.get(path, params=parameters, headers={"authorization": f"Bearer {self.secret}"})

    async def get(self, path, **parameters):
        answer = await self.answer(path, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def bad(self, path, **parameters):
        answer = await self.answer(path, **parameters)
        return answer.status_code, answer.json()["error"]


@pytest.fixture
async def page(settings):
    page = Page(settings)
    async with page.client:
        yield page
