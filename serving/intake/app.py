"""Intake's HTTP API, an ASGI application without Ray. A body contains one or more items and gets one response."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, Counter

from serving.api_keys import KeyRing, Principal
from serving.authentication import authenticate, check_scope
from serving.errors import ServingError, UnreadablePayload, log_failure
from serving.http import ClientStalled, Headers, Receive, Reply, Scope, Send, Slots, headers_of, read_body
from serving.intake.exchange_pairer import ExchangePairer
from serving.intake.genai_telemetry import NotRecorded, exchange_from_span, exchanges_from_logs
from serving.intake.kserve import events_of, exchange_from_kserve
from serving.intake.litellm import exchange_from_litellm, payloads
from serving.intake.otlp import LOGS, TRACES, OtlpReply, OtlpSpan, logs_of, read_export, spans_of
from serving.intake.reported_exchange import ReportedExchange, without_invalid_numbers
from serving.openai_api.errors import ApiError, invalid, unavailable
from serving.settings import IntakeSettings
from stream.count_text import count_text
from stream.pause import pause
from stream.wire.ids import new_request_id

_LOG = logging.getLogger(__name__)
_RETRY_AFTER_SECONDS = 5
_OVERDUE_SECONDS = 1.0
#: Bodies that are processed at the same time, limited because of their memory.
_MAX_BODIES = 8
#: Items of a body that are read at once, in a thread.
_READ_AT_ONCE = 256
#: Maximum number of rejected items, and of warnings, in a response.
_MAX_NAMED = 20


class _Item(NamedTuple):
    """An item of a body: the function that reads it, and the number of its log records, or 1."""

    read: Callable[[], ReportedExchange | NotRecorded]
    records: int = 1


class _Read(NamedTuple):
    """An item after its reading: its position in the body, the number of its log records, its exchange, and messages about omitted values."""

    position: int
    records: int
    exchange: ReportedExchange | NotRecorded | UnreadablePayload
    left_out: list[str]


_Reader = Callable[[Headers, bytes, Principal], Iterator[_Item]]


class _Remark(msgspec.Struct, frozen=True):
    index: int
    message: str


class _Tally(msgspec.Struct):
    """Numbers of the items of one body, with its first rejections and warnings.

    `refused_records` are the spans or log records of the rejected items, as OTLP counts.
    """

    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    refused_records: int = 0
    refusals: list[_Remark] = []
    warnings: list[_Remark] = []
    warned: int = 0

    def refuse(self, index: int, records: int, message: str) -> None:
        """Count a rejected item."""
        self.refused += 1
        self.refused_records += records
        if self.refused <= _MAX_NAMED:
            self.refusals.append(_Remark(index, message))

    def warn(self, index: int, messages: list[str]) -> None:
        """Count the warnings about an item."""
        self.warned += len(messages)
        self.warnings += [_Remark(index, message) for message in messages[: max(0, _MAX_NAMED - len(self.warnings))]]


class Intake:
    """An ASGI application that receives KServe's events, LiteLLM's logs, and OpenTelemetry's traces and logs.

    All readable items are recorded. If some items are unreadable, the response is 422 and lists them; for OTLP, the response is 200 and counts them.
    200 means that all accepted items are on disk. After a 503 the client sends the whole body again; items that were recorded before the 503 then
    count as duplicates.
    """

    def __init__(
        self, settings: IntakeSettings, pairer: ExchangePairer, keys: KeyRing, registry: CollectorRegistry
    ) -> None:
        self._settings = settings
        self._pairer = pairer
        self._keys = keys
        self._slots = Slots(_MAX_BODIES)
        self._turn = asyncio.Lock()
        self._items = Counter(
            "weir_intake_items", "Exchanges and halves that were sent here", ["format", "outcome"], registry=registry
        )
        self._routes: dict[str, tuple[str, _Reader]] = {
            "/intake/litellm": ("litellm", _read_litellm),
            "/intake/kserve": ("kserve", _read_kserve),
            TRACES: ("otlp", _read_traces),
            LOGS: ("otlp", _read_logs),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"ASGI scope {scope['type']} is not supported; intake serves HTTP")
        request_id, path = new_request_id(), str(scope["path"]).rstrip("/")
        is_otlp = path in {TRACES, LOGS}
        reply = OtlpReply(send, request_id, headers_of(scope), path) if is_otlp else Reply(send, request_id)
        try:
            await self._answer(scope, path, receive, reply)
        except ClientStalled as error:  # the server closes the connection of an answer without an end
            _LOG.warning("request %s: %s Its connection is closed.", request_id, error.message)
        except ApiError as error:
            await reply.error(error)
        except Exception as error:  # noqa: BLE001 - the boundary: an internal error gets a response
            log_failure(_LOG, f"request {request_id}", error)
            await reply.error(
                ApiError(500, "Internal error of Weir; the log of intake has the cause.", code="internal_error")
            )

    async def run(self, stop: asyncio.Event) -> None:
        """Record, once per second until `stop`, the halves of exchanges whose other half did not arrive in time."""
        while not stop.is_set():
            async with self._turn:
                try:
                    self._items.labels("otlp", "no_content").inc(await self._pairer.record_overdue())
                except sqlite3.OperationalError as error:  # the disk is full; the next call records the halves
                    _LOG.warning("overdue halves cannot be recorded yet: %s", error)
            await pause(stop, _OVERDUE_SECONDS)

    async def _answer(self, scope: Scope, path: str, receive: Receive, reply: Reply) -> None:
        if path == "/healthz":
            await reply.json({"status": "ok"})
            return
        if path not in self._routes:
            *some, last = self._routes
            raise ApiError(404, f"This path does not exist; use {', '.join(some)} or {last}.", code="unknown_url")
        if scope["method"] != "POST":
            raise ApiError(405, f"Use POST for {path}.", code="method_not_allowed", headers={"allow": "POST"})
        headers = headers_of(scope)
        principal = authenticate(self._keys, headers, allow_basic=True)  # KServe's logger can send nothing else
        check_scope(principal, "infer")
        name, read = self._routes[path]
        with self._slots.take():
            read_bytes = read_export if isinstance(reply, OtlpReply) else read_body
            body = await read_bytes(receive, headers, self._settings.max_body_bytes)
            tally = await self._record(name, _items(read, headers, body, principal))
        if tally.refused:  # without the reasons, which can quote the item
            items = tally.refused + tally.accepted + tally.repeated
            _LOG.warning(
                "%d of %d items of %s with the API key %s are rejected, the first at index %d; the answer has the reasons",
                *(tally.refused, items, name, principal.id, tally.refusals[0].index),
            )
        if tally.warnings:
            first = tally.warnings[0].message
            _LOG.warning("%d values of %s logs are left out; first: %s", tally.warned, name, first)
        if isinstance(reply, OtlpReply):
            await reply.exported(tally.refused_records, _first_remarks(tally))
        else:
            await reply.json(_summary(tally), 422 if tally.refused else 200)

    async def _record(self, name: str, items: Iterator[_Item]) -> _Tally:
        """Record all readable items; raises ApiError 503 if they cannot be stored."""
        tally = _Tally()
        async with self._turn:
            numbered = enumerate(items)
            while batch := await asyncio.to_thread(_read_next, numbered):
                await self._record_batch(name, batch, tally)
        return tally

    async def _record_batch(self, name: str, batch: list[_Read], tally: _Tally) -> None:
        for position, records, exchange, left_out in batch:
            await asyncio.sleep(0)  # other requests get a turn
            try:
                if isinstance(exchange, UnreadablePayload):
                    raise exchange
                if not isinstance(exchange, ReportedExchange):
                    self._items.labels(name, exchange).inc()
                    continue
                is_new = await self._pairer.add(exchange)
            except UnreadablePayload as error:
                tally.refuse(position, records, str(error))
                self._items.labels(name, "refused").inc()
            except (ServingError, sqlite3.OperationalError) as error:
                raise unavailable(
                    f"The items cannot be recorded now: {error}",
                    code="spool_full",
                    retry_after_seconds=_RETRY_AFTER_SECONDS,
                ) from None
            else:
                tally.accepted += is_new
                tally.repeated += not is_new
                tally.warn(position, left_out)
                self._items.labels(name, "accepted" if is_new else "repeated").inc()


def _items(read: _Reader, headers: Headers, body: bytes, principal: Principal) -> Iterator[_Item]:
    """Yield the items of a body; raises ApiError if the whole body is unreadable."""
    try:
        yield from read(headers, body, principal)
    except UnreadablePayload as error:
        raise invalid(f"The body is unreadable: {error}.", code="unreadable") from None
    except RecursionError:
        raise invalid("The body is unreadable: it is nested too deep.", code="unreadable") from None


def _read_next(items: Iterator[tuple[int, _Item]]) -> list[_Read]:
    """Read the next items. Called in a thread, because the decoding of a large body, and the reading of a large item, take seconds."""
    return [_Read(position, item.records, *_read(item)) for position, item in islice(items, _READ_AT_ONCE)]


def _read(item: _Item) -> tuple[ReportedExchange | NotRecorded | UnreadablePayload, list[str]]:
    """Return the exchange in `item`, and messages about omitted values; the error if a value is invalid."""
    try:
        exchange = item.read()
        return without_invalid_numbers(exchange) if isinstance(exchange, ReportedExchange) else (exchange, [])
    except UnreadablePayload as error:
        return error, []
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return UnreadablePayload(f"a value is out of range or nested too deep ({type(error).__name__})"), []


def _read_litellm(headers: Headers, body: bytes, principal: Principal) -> Iterator[_Item]:
    del headers
    for payload in payloads(body):
        yield _Item(partial(exchange_from_litellm, payload, principal))


def _read_kserve(headers: Headers, body: bytes, principal: Principal) -> Iterator[_Item]:
    for event in events_of(headers, body):
        yield _Item(partial(exchange_from_kserve, event, principal))


def _read_traces(headers: Headers, body: bytes, principal: Principal) -> Iterator[_Item]:
    for span_of in spans_of(headers, body):
        yield _Item(partial(_read_span, span_of, principal))


def _read_span(span_of: Callable[[], OtlpSpan], principal: Principal) -> ReportedExchange | NotRecorded:
    return exchange_from_span(span_of(), principal)


def _read_logs(headers: Headers, body: bytes, principal: Principal) -> Iterator[_Item]:
    for read, records in exchanges_from_logs(logs_of(headers, body), principal):
        yield _Item(read, records)


def _first_remarks(tally: _Tally) -> str:
    """Return the first rejection and the first warning, for a client that accepts only one text."""
    return "; ".join(remark.message for remarks in (tally.refusals, tally.warnings) for remark in remarks[:1])


def _summary(tally: _Tally) -> dict[str, Any]:
    summary: dict[str, Any] = {"object": "intake", "accepted": tally.accepted, "repeated": tally.repeated}
    if tally.warnings:
        summary["warnings"] = tally.warnings
    if not tally.refused:
        return summary
    first = tally.refusals[0]
    error = ApiError(
        422,
        f"{count_text(tally.refused, 'item is', 'items are')} unreadable, the first at index {first.index}: {first.message}. The other items are"
        " recorded; correct the unreadable ones and send them again.",
        code="unreadable",
    )
    return summary | {"refused": tally.refused, "refusals": tally.refusals} | error.body()
