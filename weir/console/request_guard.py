"""Check Host, session and Origin of every request, and add security headers.

A loopback address is not enough. Any page in the user's browser can send requests to 127.0.0.1, and can read the responses if its
host name resolves to 127.0.0.1 (DNS rebinding). So every request needs an allowed Host header (name and port), and a session
or the token. The console's own page must send each request that changes state and uses a session.
"""

from contextlib import suppress
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http import ClientStalled, send_in_time
from weir.console.sessions import SESSION_SECONDS, Sessions

#: No inline script or style, no other host, no frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_READS = ("GET", "HEAD")
_HOME = ("", "/")
_SIGN_IN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Weir console</title><link rel="icon" href="data:,">
<h1>Sign in with a link</h1><p>Run <code>weir console</code> on the machine of the stack, and open the printed link.
A link works once; its session lasts seven days.</p></html>"""
#: After a link on another site, the browser omits the cookie (SameSite=Strict); a reload from this page sends it.
_RELOAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Weir console</title><link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0"><p><a href="">Continue</a></p></html>"""
#: Session name of programs that send the secret.
PROGRAM = "token"


class RequestGuard:
    """ASGI middleware; `hosts` are the allowed Host headers. All ports of a host share cookies, so the cookie's name contains `port`."""

    def __init__(self, app: ASGIApp, sessions: Sessions, hosts: frozenset[str], port: int) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = hosts
        self._cookie = f"weir-console-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or set ``scope["state"]["session"]`` and call the application."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        response = self._rejection(scope, headers)
        if response is None:
            scope.setdefault("state", {})["session"] = self._session(headers)
        with suppress(ClientStalled):  # the server closes the connection of an answer without an end
            await (response or self._app)(scope, receive, _with_headers(send))

    def _rejection(self, scope: Scope, headers: Headers) -> Response | None:
        if headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("This is not the address of the console; run `weir console` for a link.\n", 421)
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if token and scope["method"] == "GET" and scope["path"] in _HOME:
            return self._sign_in(token)
        session = self._session(headers)
        if not session:
            return _no_session(scope, headers)
        if scope["method"] not in _READS and session != PROGRAM:  # other sites cannot make a browser send the token
            return _not_same_origin(headers)
        return None

    def _sign_in(self, token: str) -> Response:
        session = self._sessions.redeem(token)
        if session is None:
            return _page(_SIGN_IN.replace("Sign in with a link", "This link was used or has expired"), 401)
        # Not a redirect: after a redirect from another program's page, the browser omits the new cookie.
        response = _page(_RELOAD.replace('content="0"', 'content="0;url=/"').replace('href=""', 'href="/"'), 200)
        response.set_cookie(
            self._cookie, session, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="strict", secure=False
        )
        return response

    def _session(self, headers: Headers) -> str:
        """Return ``token`` if the request has the secret, else the name of its valid session, else ""."""
        kind, _space, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._sessions.bearer(token.strip()):
            return PROGRAM
        # SimpleCookie returns no cookie at all if another program on this host has set a malformed one, such as {"a":1}.
        return self._sessions.session(cookie_parser(headers.get("cookie", "")).get(self._cookie, ""))


def _no_session(scope: Scope, headers: Headers) -> Response:
    wants_page = scope["method"] == "GET" and headers.get("sec-fetch-mode", "navigate") == "navigate"
    if scope["path"].startswith("/api/") or not wants_page:
        return PlainTextResponse("no session; run `weir console` and open the link, or send the token as bearer\n", 401)
    elsewhere = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
    return _page(_RELOAD, 200) if elsewhere else _page(_SIGN_IN, 401)


def _not_same_origin(headers: Headers) -> Response | None:
    """Reject a state-changing request unless the console's own page sent it.

    The session cookie does not prove this, because browsers also send the cookie from pages on other ports.
    """
    own = (
        headers.get("origin") == f"http://{headers['host']}"
        and headers.get("sec-fetch-site", "same-origin") == "same-origin"
    )
    if own and headers.get("content-type", "").partition(";")[0] == "application/json":
        return None
    return PlainTextResponse("a change must be JSON from the console's own page\n", 403)


def _page(html: str, status: int) -> Response:
    return Response(html, status, media_type="text/html", headers={"cache-control": "no-store"})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send_in_time(send, message)

    return sending
