"""Check the health of a component: by HTTP, by Kafka's protocol, or by a TCP connection.

An unhealthy process answers 503, with its reasons as a JSON object. An answer with the key ``event loop`` counts as no answer, because only a
restart helps. If all keys begin with ``waiting`` (for Kafka, for example), the process is not restarted.
"""

import http.client
import json
import socket
from urllib.parse import urlsplit

import msgspec

from stream.kafka.probe import broker_answers

#: `stream.telemetry.STALLED`, without its imports, because the watcher and the command need little memory and time.
_STALLED = "event loop"
_MAX_BODY_BYTES = 64 * 1024


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a health check.

    A `hung` process does not answer, or reports that it is stuck. A `waiting` process only waits for something, such as Kafka.
    `detail` contains the reasons in one line, `reasons` those that the process itself reports.
    """

    ok: bool
    hung: bool = False
    waiting: bool = False
    detail: str = ""
    reasons: tuple[str, ...] = ()


def probe(url: str, timeout_seconds: float = 2.0) -> Health:
    """Return the health of the process at `url`; a process that does not answer in time is `hung`. Raises no error."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        return _http(parts.netloc, parts.path or "/", timeout_seconds)
    if parts.scheme == "kafka":
        ok = broker_answers(parts.netloc, timeout_seconds)
        return Health(ok=ok, hung=not ok, detail="" if ok else f"no Kafka answers at {parts.netloc}")
    return _tcp(parts.hostname or "127.0.0.1", parts.port or 0, timeout_seconds)


def _tcp(host: str, port: int, timeout_seconds: float) -> Health:
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return Health(ok=True)
    except OSError as error:
        return Health(ok=False, hung=True, detail=f"{host}:{port} does not answer ({_short(error)})")


def _http(netloc: str, path: str, timeout_seconds: float) -> Health:
    connection = http.client.HTTPConnection(netloc, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(_MAX_BODY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        return Health(ok=False, hung=True, detail=f"http://{netloc}{path} does not answer ({_short(error)})")
    finally:
        connection.close()
    return Health(ok=True) if answer.status == http.client.OK else _reasons(answer.status, body)


def _reasons(status: int, body: bytes) -> Health:
    try:
        reasons = json.loads(body)
    except ValueError:
        reasons = {}
    if not isinstance(reasons, dict) or not reasons:
        return Health(ok=False, detail=f"HTTP status {status}")
    lines = tuple(f"{name}: {reason}" for name, reason in reasons.items())
    waiting = all(str(name).startswith("waiting") for name in reasons)
    return Health(ok=False, hung=_STALLED in reasons, waiting=waiting, detail="; ".join(lines), reasons=lines)


def _short(error: BaseException) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
