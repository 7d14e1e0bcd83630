"""What stands before the console: whose name the request bears, who sends it, from which page; and headers on every answer.

Loopback alone protects nobody from their own browser: any page may send requests to 127.0.0.1, and a name that is rebound to it may read
the answers. So a request must name this host and port, must come from this page where it changes anything, and must bring a session.
"""

from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weir.console.sessions import SESSION_SECONDS, Access

__all__ = ["Guard"]

#: No inline script or style, nothing from elsewhere, and nobody may put the page into a frame.
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
<h1>This page needs a link of yours</h1><p>Run <code>weir console</code> where the stack runs, and open the link that it prints.
A link works once; the session that it begins lasts seven days.</p></html>"""
#: A page elsewhere led here, so that the browser kept the cookie back (SameSite=Strict): one step from our own page brings it.
_STEP = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Weir console</title><link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0"><p><a href="">Go on</a></p></html>"""
#: What a program with the secret is called; a session has a name of its own.
PROGRAM = "token"


class Guard:
    """ASGI middleware in front of everything.

    Parameters
    ----------
    app
        What is guarded.
    access
        Judges tokens and sessions.
    hosts
        ``name:port`` that a request may bear as its Host.
    port
        Of this console; cookies are shared between ports, so its name holds it.
    """

    def __init__(self, app: ASGIApp, access: Access, hosts: frozenset[str], port: int) -> None:
        self._app = app
        self._access = access
        self._hosts = hosts
        self._cookie = f"weir-console-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the request through with ``scope["state"]["session"]`` set."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        answer = self._refused(scope, headers)
        if answer is None:
            scope.setdefault("state", {})["session"] = self._who(headers)
            await self._app(scope, receive, _with_headers(send))
        else:
            await answer(scope, receive, _with_headers(send))

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        if headers.get("host", "").lower() not in self._hosts:
            return PlainTextResponse("This console answers under its own address alone: see `weir console`.\n", 421)
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if token and scope["method"] == "GET" and scope["path"] in _HOME:
            return self._signed_in(token)
        who = self._who(headers)
        if not who:
            return _stranger(scope, headers)
        if scope["method"] not in _READS and who != PROGRAM:  # no other site makes a browser send the token
            return _foreign(headers)
        return None

    def _signed_in(self, token: str) -> Response:
        session = self._access.redeem(token)
        if session is None:
            return _page(
                _SIGN_IN.replace("needs a link of yours", "needs a fresh link: this one is used, or too old"), 401
            )
        # Not a redirect: after one from another program's page the browser would keep the new cookie back.
        answer = _page(_STEP.replace('content="0"', 'content="0;url=/"').replace('href=""', 'href="/"'), 200)
        answer.set_cookie(
            self._cookie, session, max_age=SESSION_SECONDS, path="/", httponly=True, samesite="strict", secure=False
        )
        return answer

    def _who(self, headers: Headers) -> str:
        """Return the session's name, ``token`` for a program with the secret, "" for a stranger."""
        kind, _space, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._access.bearer(token.strip()):
            return PROGRAM
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return self._access.session(cookie.value) if cookie is not None else ""


def _stranger(scope: Scope, headers: Headers) -> Response:
    wants_page = scope["method"] == "GET" and headers.get("sec-fetch-mode", "navigate") == "navigate"
    if scope["path"].startswith("/api/") or not wants_page:
        return PlainTextResponse("no session; run `weir console` and open its link, or send the token as bearer\n", 401)
    elsewhere = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
    return _page(_STEP, 200) if elsewhere else _page(_SIGN_IN, 401)


def _foreign(headers: Headers) -> Response | None:
    """Refuse a change that does not come from this page: other ports of this host are the same site, so a cookie is no proof."""
    own = (
        headers.get("origin") == f"http://{headers['host']}"
        and headers.get("sec-fetch-site", "same-origin") == "same-origin"
    )
    if own and headers.get("content-type", "").partition(";")[0] == "application/json":
        return None
    return PlainTextResponse("changes come as JSON from the console's own page\n", 403)


def _page(html: str, status: int) -> Response:
    return Response(html, status, media_type="text/html", headers={"cache-control": "no-store"})


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
