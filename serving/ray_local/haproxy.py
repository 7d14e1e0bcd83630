"""The script that Ray runs instead of HAProxy: it makes Ray's configuration of HAProxy safe, then starts HAProxy by ``exec``.

Why this exists: Ray's template binds metrics and statistics on all interfaces, returns a client's ``x-request-id``, and answers 404 or
500 in plain text while a gateway starts; no setting changes that (docs/design/ray-local.md). Ray finds HAProxy's processes by the exact
configuration path in their arguments, so the file is edited in place.

Ray runs ``python -I -S haproxy.py SETTINGS.json <HAProxy's arguments>`` at the start and at each reload. For a short start, the script imports
only a few modules of the standard library.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

#: The first line of an edited configuration, which is not edited again.
MARK = "# weir edge: loopback only, one request id of ours on every answer"
_BIND = re.compile(r"^(\s*bind\s+)(\S+)(.*)$")
FRONTEND = "frontend http_frontend"
STATISTICS = "listen stats"
#: Where Ray sends all requests until an application is deployed; the gateway's has the route "/", so none are sent here afterwards.
NO_APPLICATION = "backend default_backend"
NOT_FOUND = "    http-request return status 404 "
#: Headers by which a client could make Serve end its request early, continue it after a disconnect, or open a WebSocket, which gets 500.
_SERVE_HEADERS = ("x-request-timeout-seconds", "x-request-disconnect-disabled", "upgrade")
#: A body that arrives later gets 408, of HAProxy or of the gateway, which receives the request only when its body is complete.
BODY_SECONDS = 30
#: Connections beyond an address's limit that are still accepted, so that their requests are answered 429.
_ANSWERED_EXCESS = 64
#: Connections to a listener other than the endpoint's: metrics and statistics, which must not use up `maxconn`.
_OTHER_CONNECTIONS = 16
_RETRY = "content-type application/json hdr retry-after 2"
_ERROR_FILE = re.compile(r"^\s*errorfile\s+50[234]\s+(\S+)\s*$", re.MULTILINE)


class UnsafeConfig(Exception):
    """Ray's configuration of HAProxy has an unknown form, so it cannot be made safe."""


class Limits(NamedTuple):
    """The limits for one client, from the settings ``[http]``."""

    max_body_bytes: int
    connections_per_address: int
    header_seconds: float


def rewrite(text: str, *, host: str, edge_token: str, limits: Limits, timeout_path: Path) -> str:
    """Return Ray's configuration `text` with Weir's rules; the HTTP frontend listens on `host`, other listeners on loopback.

    Until the gateway's application is deployed, requests get 503 and not Ray's 404, which no client would retry.
    `edge_token` is sent to the gateway as ``x-weir-edge``, so that the gateway accepts only HAProxy's ``x-request-id``.
    A ``content-length`` above the limit gets 413 before the upload. A late body gets 408 with the page at
    `timeout_path` (:func:`timeout_page`), late headers 408 with HAProxy's own page. If one client address has too many
    connections, requests on its further connections get 429; from 64 connections above the limit on, its further
    connections are closed. ``OPTIONS *`` gets 200, another request without a path 400. Raises UnsafeConfig if a listener
    other than the HTTP frontend would not be on loopback, or if there is no HTTP frontend.
    """
    if MARK in text:
        return text
    lines: list[str] = []
    section, found = "", False
    for line in text.splitlines():
        if not line.startswith((" ", "\t")):
            section = line.strip()
        if section == NO_APPLICATION and line.startswith(NOT_FOUND):
            lines.append(f"    http-request return status 503 {_RETRY} string '{_unavailable()}'")
            continue
        bind = _BIND.match(line)
        if bind is None:
            lines.append(line)
            continue
        is_http = section == FRONTEND
        lines.append(bind.group(1) + _bound(bind.group(2), host if is_http else "127.0.0.1") + bind.group(3))
        if is_http and not found:
            found = True
            lines += _connection_rules(limits)
            lines += _rules(edge_token, limits, timeout_path)
            continue
        lines += [f"    maxconn {_OTHER_CONNECTIONS}", *_header_rules(limits)]
        if section == STATISTICS:
            lines.append("  http-request deny")  # Ray uses the admin socket; the page would be public
    if not found:
        raise UnsafeConfig(
            "HAProxy's configuration has no bind in frontend http_frontend; this Ray version has another template"
        )
    return "\n".join([MARK, *lines, ""])


def _bound(address: str, host: str) -> str:
    """Return `address`, with `host` instead of "all interfaces"; only 127.0.0.1 and `host` are allowed.

    Raises UnsafeConfig for any other address.
    """
    name, _, port = address.rpartition(":")
    if not port.isdigit():
        raise UnsafeConfig(f"bind {address} has no port number; Weir allows {host}:PORT")
    if name in {"", "*"}:
        return f"{host}:{port}"
    if name not in {"127.0.0.1", host}:
        raise UnsafeConfig(f"bind {address} would listen beyond loopback; http.host is {host}")
    return address


def _header_rules(limits: Limits) -> list[str]:
    return [
        f"    timeout http-request {round(limits.header_seconds * 1000)}ms",
        # An idle connection is closed without a 408: its next request would take the 408 for its own response.
        "    option http-ignore-probes",
    ]


def _connection_rules(limits: Limits) -> list[str]:
    """Return rules that limit each client address, which could otherwise fill `maxconn` with incomplete requests."""
    allowed = limits.connections_per_address
    return [
        *_header_rules(limits),
        "    stick-table type ipv6 size 4k expire 1m store conn_cur",
        "    tcp-request connection track-sc0 src",
        # HAProxy can answer 429 only when the headers are complete: a half-sent request would occupy its connection until then.
        f"    tcp-request connection reject if {{ sc0_conn_cur gt {allowed + _ANSWERED_EXCESS} }}",
        f"    tcp-request connection set-var(sess.weir_over) bool(true) if {{ sc0_conn_cur gt {allowed} }}",
    ]


def _rules(edge_token: str, limits: Limits, timeout_path: Path) -> list[str]:
    too_large = _error_body(
        f"The body is larger than {limits.max_body_bytes} bytes, the limit; send a shorter request.",
        "invalid_request_error",
        "request_too_large",
    )
    too_many = _error_body(
        f"Your address has more than {limits.connections_per_address} connections open, the limit"
        " (http.connections_per_address); close some and try again in 1 second.",
        "rate_limit_error",
        "too_many_connections",
    )
    no_path = _error_body(
        "The request has no path; send a path that begins with a slash, for example /v1/models.",
        "invalid_request_error",
        "invalid_path",
    )
    return [
        f"    errorfile 408 {timeout_path}",
        *(f"    http-request del-header {name}" for name in _SERVE_HEADERS),
        "    unique-id-format %[uuid]",
        "    http-request set-header x-request-id %[unique-id]",
        f"    http-request set-header x-weir-edge {edge_token}",
        "    http-after-response set-header x-request-id %[unique-id]",
        # Close rejected connections to free a `maxconn` slot: an idle one would keep it for 90 s.
        "    http-after-response set-header connection close if { status 429 503 }",
        (
            f"    http-request return status 429 content-type application/json hdr retry-after 1 string '{too_many}'"
            " if { var(sess.weir_over) -m bool }"
        ),
        (
            f"    http-request return status 413 content-type application/json string '{too_large}'"
            f" if {{ req.hdr_val(content-length) gt {limits.max_body_bytes} }}"
        ),
        # Ray's rules send requests without a path to the default backend, whose 503 would be retried. `OPTIONS *` is a ping (RFC 9110, 9.3.7).
        '    http-request return status 200 hdr allow "GET, HEAD, POST" if METH_OPTIONS !{ path_beg / }',
        f"    http-request return status 400 content-type application/json string '{no_path}' if !{{ path_beg / }}",
        # Without this rule HAProxy 2.8 does not detect that a client disconnects before the response begins, if its body was
        # sent in a packet of its own.
        f"    http-request wait-for-body time {BODY_SECONDS}s if METH_POST",
    ]


def _error_body(message: str, kind: str, code: str) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _unavailable() -> str:
    return _error_body(
        "No gateway can be reached; it is starting or restarting. Try again in 2 seconds.",
        "server_error",
        "gateway_unavailable",
    )


def error_page() -> str:
    """Return HAProxy's response while no gateway can be reached, in OpenAI's format."""
    return _page("503 Service Unavailable", "Retry-After: 2", _unavailable())


def timeout_page() -> str:
    """Return HAProxy's response to a request whose body is late; the gateway sends the same response."""
    body = _error_body(
        f"The body did not arrive within {BODY_SECONDS} s, the limit; send it faster.",
        "invalid_request_error",
        "request_timeout",
    )
    return _page("408 Request Timeout", "Connection: close", body)


def _page(status: str, header: str, body: str) -> str:
    head = (f"HTTP/1.1 {status}", "Content-Type: application/json", header, f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", body])


def _replace(path: Path, text: str) -> None:
    """Replace `path` atomically; :func:`stream.files.replace_file` cannot be imported in this script (``-I -S``)."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)


def prepare(arguments: list[str], settings: dict[str, Any]) -> None:
    """Make the configuration file after ``-f`` in `arguments` safe, and replace the error pages that it uses."""
    if "-f" not in arguments:
        return
    path = Path(arguments[arguments.index("-f") + 1])
    timeout_path = path.with_name("weir-408.http")
    text = path.read_text(encoding="utf-8")
    safe = rewrite(
        text,
        host=settings["host"],
        edge_token=Path(settings["edge_token_path"]).read_text(encoding="ascii").strip(),
        limits=Limits(**settings["limits"]),
        timeout_path=timeout_path,
    )
    _replace(timeout_path, timeout_page())
    for name in set(_ERROR_FILE.findall(text)):
        _replace(Path(name), error_page())
    _replace(path, safe)


def main(argv: list[str]) -> None:
    """Make the configuration safe, then ``exec`` HAProxy, which is killed when its parent ends."""
    settings_path, *arguments = argv
    settings = json.loads(Path(settings_path).read_text(encoding="utf-8"))
    try:
        prepare(arguments, settings)
    except (UnsafeConfig, OSError, ValueError, LookupError) as error:
        sys.exit(f"HAProxy is not started: {error}")
    os.umask(0o077)
    command = [settings["setpriv"], "--pdeathsig", "KILL", "--", settings["haproxy"], *arguments]
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
