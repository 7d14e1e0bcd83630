"""The addresses in links to the console, which the console accepts."""

import httpx
import pytest

from weir.console.addresses import console_address, console_link
from weir.console.app import console_app
from weir.console.sessions import Sessions, ensure_token
from weir.settings import Settings

PORT = 8900


def settings(home, **console):
    return Settings(console={"port": PORT, "host": "0.0.0.0", **console}).model_copy(update={"home": home})


@pytest.mark.parametrize(
    ("names", "address"),
    [
        ((), "http://127.0.0.1:8900"),
        (("127.0.0.1:9100", "localhost:9100"), "http://127.0.0.1:9100"),
        (("Desk.example",), "http://Desk.example:8900"),
        (("weir.example.com:80",), "http://weir.example.com"),
    ],
)
async def test_a_link_has_the_configured_name_and_signs_in(tmp_path, names, address):
    stack = settings(tmp_path, names=names)
    link = console_link(stack)
    assert link.startswith(f"{address}/?token=")
    assert console_address(stack) == "http://127.0.0.1:8900", "the address for health checks on this machine"
    app = console_app(stack, Sessions(ensure_token(tmp_path)), PORT)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        assert "set-cookie" in (await client.get(link)).headers


async def test_a_link_to_an_ipv6_address_signs_in(tmp_path):
    stack = settings(tmp_path, host="fd00::1")
    link = console_link(stack)
    assert link.startswith("http://[fd00::1]:8900/?token=")
    app = console_app(stack, Sessions(ensure_token(tmp_path)), PORT)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        assert "set-cookie" in (await client.get(link)).headers
