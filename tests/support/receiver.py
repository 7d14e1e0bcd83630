"""A receiver of webhooks on loopback that accepts requests, or answers with given statuses."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Request(msgspec.Struct, kw_only=True):
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def message(self) -> Any:
        return json.loads(self.body)


def is_signed(request: Request, secret: str) -> bool:
    """Verify a signature by the Standard Webhooks specification, without the bridge's code."""
    headers = request.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and f"v1,{expected}" in headers["webhook-signature"].split(" ")


class Receiver:
    """Keeps every request in `seen`; responds with the statuses of `answers` in turn, then with 204."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.answers: list[int] = []
        self.url = ""

    @property
    def accepted(self) -> list[Request]:
        return [request for request in self.seen if request.status < 300]


@contextlib.contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = state.answers.pop(0) if state.answers else 204
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append(Request(headers=headers, body=body, status=status))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
