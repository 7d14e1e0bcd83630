"""Ask a component for its health: HTTP, Kafka's protocol, or a connection.

A process that answers 503 gives its reasons as a JSON object. Some keys have a meaning here: ``stuck`` and ``event loop`` (its work stands
still and only a restart helps) count as no answer; reasons whose keys begin with ``waiting`` (for Kafka, say) never lead to
a restart.
"""

import http.client
import json
import socket
from urllib.parse import urlsplit

import msgspec

from stream.kafka.probe import broker_answers

__all__ = ["Health", "probe"]

#: Reasons that only a restart mends; ``event loop`` is weir.component.process's, ``event_loop`` stream.runtime's.
_STUCK = {"stuck", "event loop", "event_loop"}


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """An answer.

    Parameters
    ----------
    ok
        It works.
    hung
        It does not answer, or says that it is stuck.
    waiting
        Every reason that it gives is something it waits for.
    detail
        One line for a person; empty where all is well.
    """

    ok: bool
    hung: bool = False
    waiting: bool = False
    detail: str = ""


def probe(url: str, timeout_seconds: float = 2.0) -> Health:
    """Ask once; takes `timeout_seconds` at most, and never raises for what the other side does."""
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
        body = answer.read(64 * 1024)
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
        return Health(ok=False, detail=f"it answers {status}")
    detail = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    waiting = all(str(name).startswith("waiting") for name in reasons)
    return Health(ok=False, hung=not _STUCK.isdisjoint(reasons), waiting=waiting, detail=detail)


def _short(error: BaseException) -> str:
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
