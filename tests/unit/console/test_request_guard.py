import time

import pytest
from support.cases import cases

from weir.console.sessions import link_token

CASES = cases(__file__)

HOST = "127.0.0.1:18080"
PAGE = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none"}
OWN = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin", "content-type": "application/json"}


async def sign_in(page):
    answer = await page.client.get("/", params={"token": link_token(page.secret, time.time())})
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize("host", ["evil.example:18080", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:18080", ""])
async def test_an_unknown_host_is_rejected_even_with_a_session(page, host):
    await sign_in(page)
    for path in ("/", "/api/stack", "/web/main.js"):
        assert (await page.client.get(path, headers={"host": host})).status_code == 421


@pytest.mark.parametrize("host", [HOST, "localhost:18080", "[::1]:18080", "LOCALHOST:18080"])
async def test_known_hosts_are_accepted(page, host):
    await sign_in(page)
    headers = {"host": host, "cookie": "; ".join(f"{one.name}={one.value}" for one in page.client.cookies.jar)}
    assert (await page.client.get("/api/stack", headers=headers)).status_code == 200


@pytest.mark.parametrize("other", ['theme={"dark":true}', "a b=c", "=", "\u00e9=1; x", 'q="\\'])
async def test_a_malformed_cookie_of_another_program_of_this_host_does_not_end_the_session(page, other):
    await sign_in(page)
    (own,) = (f"{one.name}={one.value}" for one in page.client.cookies.jar)
    page.client.cookies.clear()
    for cookie in (f"{other}; {own}", f"{own}; {other}"):
        answer = await page.client.get("/api/stack", headers={"cookie": cookie.encode()})
        assert answer.status_code == 200
    assert (await page.client.get("/api/stack", headers={"cookie": other.encode()})).status_code == 401


@pytest.mark.parametrize(
    "path", ["/", "/alerts", "/web/main.js", "/web/vendor/preact.mjs", "/api/stack", "/api/live", "/nothing"]
)
async def test_without_a_session_every_address_is_rejected(page, path):
    answer = await page.client.get(path, headers=PAGE)
    assert answer.status_code == 401
    assert "weir console" in answer.text
    assert (await page.client.get(path, headers={"authorization": "Bearer wrong"})).status_code == 401
    assert (await page.client.post(path, headers=OWN)).status_code == 401


async def test_a_link_sets_a_cookie_that_scripts_and_other_sites_cannot_read(page):
    answer = await sign_in(page)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("weir-console-18080=")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert page.secret.lower() not in cookie
    assert (await page.client.get("/alerts", headers=PAGE)).headers["content-type"].startswith("text/html")


async def test_the_error_for_a_used_link_states_the_reason(page):
    token = link_token(page.secret, time.time())
    assert (await page.client.get("/", params={"token": token})).status_code == 200
    page.client.cookies.clear()
    again = await page.client.get("/", params={"token": token})
    assert again.status_code == 401
    assert "used or has expired" in again.text
    assert "set-cookie" not in again.headers


async def test_a_link_on_another_site_reloads_so_that_the_browser_sends_the_cookie(page):
    answer = await page.client.get("/alerts/al_1", headers=PAGE | {"sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    assert "main.js" not in answer.text
    again = await page.client.get("/alerts/al_1", headers=PAGE | {"sec-fetch-site": "same-origin"})
    assert again.status_code == 401, "the reload happens only once"
    script = await page.client.get("/api/stack", headers={"sec-fetch-mode": "cors", "sec-fetch-site": "cross-site"})
    assert script.status_code == 401


@pytest.mark.parametrize("changed", CASES["foreign_changes"])
async def test_a_change_from_another_page_of_this_host_is_rejected(page, changed):
    """Browsers send a cookie of 127.0.0.1 to all its ports. So SameSite does not exclude the page of MLflow."""
    await sign_in(page)
    answer = await page.client.post("/api/silences", json={}, headers=OWN | changed)
    assert answer.status_code == 403


async def test_a_change_from_the_console_or_a_program_is_accepted(page):
    program = {"authorization": f"Bearer {page.secret}"}
    assert (await page.client.post("/api/silences", json={}, headers=program)).status_code == 400
    await sign_in(page)
    assert (await page.client.post("/api/silences", json={}, headers=OWN)).status_code == 400


async def test_every_response_forbids_inline_scripts_frames_and_sniffing(page):
    answers = [
        await page.client.get("/api/stack"),
        await page.client.get("/", headers={"host": "x"}),
        await sign_in(page),
    ]
    answers += [await page.client.get(path) for path in ("/", "/web/main.js", "/api/alerts")]
    for answer in answers:
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["base-uri"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_page_has_no_inline_script_or_style(page):
    await sign_in(page)
    html = (await page.client.get("/")).text
    assert "<style" not in html
    assert "style=" not in html
    assert html.count("<script") == html.count('<script type="module" src=')
