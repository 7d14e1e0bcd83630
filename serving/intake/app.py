"""Intake's HTTP: who sends, a bounded body, one answer for all of it. An ASGI application that knows nothing of Ray."""

import asyncio
import base64
import binascii
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter

from serving.api_keys import KeyRing, Principal
from serving.errors import CaptureError
from serving.http import Headers, Receive, Reply, Scope, Send, headers_of, read_body
from serving.intake.errors import HeldFull, Unreadable
from serving.intake.exchange_pairer import Desk
from serving.intake.kserve import events_of, told_by_kserve
from serving.intake.litellm import payloads, told_by_litellm
from serving.intake.reported_exchange import Told, checked
from serving.openai_api.errors import ApiError, invalid, unavailable
from serving.settings import IntakeSettings
from stream.wire.ids import new_request_id

__all__ = ["Intake"]

_LOG = logging.getLogger(__name__)
_RETRY_AFTER_SECONDS = 5
_SETTLE_SECONDS = 1.0
_BODY_SECONDS = 30.0
#: Bodies that are read at once, so that memory has a bound.
_MOST_BODIES = 8
#: Refusals, and warnings, that an answer names one by one.
_NAMED = 20


class _Remark(msgspec.Struct, frozen=True):
    index: int
    message: str


class _Tally(msgspec.Struct):
    """What became of the items of one body."""

    accepted: int = 0
    repeated: int = 0
    refused: list[_Remark] = []
    warnings: list[_Remark] = []


class Intake:
    """An ASGI application that takes KServe's events and LiteLLM's logs.

    Every item that can be read is taken, whatever its neighbours are: an answer of 422 names those that cannot. 200 comes after the
    disk has all of it; 503 says to send the whole body again, and what was taken of it is known as a repeat.

    Parameters
    ----------
    settings
        The bound of a body.
    desk
        Takes what was read.
    keys
        Who may send.
    registry
        Gets ``weir_intake_items_total`` by format and outcome.
    """

    def __init__(self, settings: IntakeSettings, desk: Desk, keys: KeyRing, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._desk = desk
        self._keys = keys
        self._bodies = 0
        self._turn = asyncio.Lock()
        self._items = Counter(
            "weir_intake_items", "Exchanges and halves that were sent here", ["format", "outcome"], registry=registry
        )
        self._routes: dict[str, tuple[str, Callable[[Headers, bytes, Principal], Iterator[Callable[[], Told]]]]] = {
            "/intake/litellm": ("litellm", _read_litellm),
            "/intake/kserve": ("kserve", _read_kserve),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"ASGI scope {scope['type']} is not served; intake speaks HTTP")
        request_id = new_request_id()
        reply = Reply(send, request_id)
        try:
            await self._answer(scope, receive, reply)
        except ApiError as error:
            await reply.error(error)
        except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours is an answer; its message may hold text
            _LOG.error("intake %s failed: %s", request_id, type(error).__name__)
            await reply.error(ApiError(500, "Weir failed; the log names the fault.", code="internal_error"))

    async def run(self, stop: asyncio.Event) -> None:
        """Record the halves that waited too long, once a second until `stop`."""
        while not stop.is_set():
            async with self._turn:
                try:
                    await self._desk.settle()
                except sqlite3.OperationalError as error:  # a full disk: what is held stays, and is looked at again
                    _LOG.warning("halves that waited too long cannot be recorded yet: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _SETTLE_SECONDS)

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        path = str(scope["path"]).rstrip("/")
        if path == "/healthz":
            await reply.json({"status": "ok"})
            return
        if path not in self._routes:
            raise ApiError(404, f"There is no such address; send to {' or '.join(self._routes)}.", code="unknown_url")
        if scope["method"] != "POST":
            raise ApiError(405, f"{path} takes POST; send that.", code="method_not_allowed", headers={"allow": "POST"})
        headers = headers_of(scope)
        principal = self._authenticate(headers)
        name, read = self._routes[path]
        with self._place():
            body = await self._body(receive, headers)
            tally = await self._take(name, _items(read, headers, body, principal))
        if tally.warnings:
            _LOG.warning(
                "%d values of %s logs are left out, the first: %s", len(tally.warnings), name, tally.warnings[0].message
            )
        status = 422 if tally.refused else 200
        await reply.json(_summary(tally), status)

    def _authenticate(self, headers: Headers) -> Principal:
        principal = self._keys.identify(_bearer(headers.get("authorization", "")))
        if principal is None:
            what = "is not valid" if "authorization" in headers else "is missing"
            raise ApiError(
                401,
                f"The API key {what}; send `Authorization: Bearer <key>`, or the key as the password of the address"
                " (http://weir:<key>@host/intake/kserve). `weir keys create` makes one.",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        return principal

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the places for bodies, from its first byte until its last item is taken; ApiError 503 where there is none."""
        if self._bodies >= _MOST_BODIES:
            raise unavailable(
                f"{self._bodies} bodies are being taken, the most at once; try again in a second.", code="queue_full"
            )
        self._bodies += 1
        try:
            yield
        finally:
            self._bodies -= 1

    async def _body(self, receive: Receive, headers: Headers) -> bytes:
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                return await read_body(receive, headers, self._settings.max_body_bytes)
        except TimeoutError:
            raise ApiError(
                408,
                f"The body did not arrive within {_BODY_SECONDS:g} s, the most that Weir waits.",
                code="request_timeout",
                headers={"connection": "close"},
            ) from None

    async def _take(self, name: str, items: Iterator[Callable[[], Told]]) -> _Tally:
        """Take every item that can be read; raises ApiError 503 where the disk takes no more."""
        tally = _Tally()
        async with self._turn:
            for index, read in enumerate(items):
                try:
                    told, left_out = _read(read)
                    fresh = await self._desk.take(told)
                except Unreadable as error:
                    tally.refused.append(_Remark(index, str(error)))
                    self._items.labels(name, "refused").inc()
                except (CaptureError, HeldFull, sqlite3.OperationalError) as full:
                    raise unavailable(
                        f"Weir cannot keep it now: {full}", code="spool_full", retry_after_seconds=_RETRY_AFTER_SECONDS
                    ) from None
                else:
                    tally.accepted += fresh
                    tally.repeated += not fresh
                    tally.warnings += [_Remark(index, message) for message in left_out]
                    self._items.labels(name, "accepted" if fresh else "repeated").inc()
        return tally


def _items(
    read: Callable[[Headers, bytes, Principal], Iterator[Callable[[], Told]]],
    headers: Headers,
    body: bytes,
    principal: Principal,
) -> Iterator[Callable[[], Told]]:
    """Yield the items of a body; raises ApiError where the body as a whole cannot be read."""
    try:
        yield from read(headers, body, principal)
    except Unreadable as error:
        raise invalid(f"The body cannot be read: {error}.", code="unreadable") from None
    except RecursionError:
        raise invalid("The body cannot be read: it is nested too deep.", code="unreadable") from None


def _read(item: Callable[[], Told]) -> tuple[Told, list[str]]:
    """Return an item and what is left out of it; raises Unreadable, whatever its values do to the reader: its neighbours are taken."""
    try:
        return checked(item())
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Unreadable(f"a value in it is out of every range or nested too deep ({type(error).__name__})") from None


def _read_litellm(headers: Headers, body: bytes, principal: Principal) -> Iterator[Callable[[], Told]]:
    del headers
    for payload in payloads(body):
        yield partial(told_by_litellm, payload, principal)


def _read_kserve(headers: Headers, body: bytes, principal: Principal) -> Iterator[Callable[[], Told]]:
    for event in events_of(headers, body):
        yield partial(told_by_kserve, event, principal)


def _bearer(authorization: str) -> str:
    """Return a header as KeyRing knows it: of HTTP's Basic, which KServe's logger sends for its address, the password is the key."""
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        _, _, key = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {key}"


def _summary(tally: _Tally) -> Mapping[str, Any]:
    summary: dict[str, Any] = {"object": "intake", "accepted": tally.accepted, "repeated": tally.repeated}
    if tally.warnings:
        summary["warnings"] = tally.warnings[:_NAMED]
    if not tally.refused:
        return summary
    named = tally.refused[:_NAMED]
    first = tally.refused[0]
    error = ApiError(
        422,
        f"{len(tally.refused)} of the items cannot be read, the first at index {first.index}: {first.message}. The others"
        " were taken; mend these and send them again.",
        code="unreadable",
    )
    return summary | {"refused": len(tally.refused), "refusals": named} | error.body()
