"""Approve or reject a retraining request: a record on weir.retraining, by a key with the scope ``approve``."""

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiokafka.structs import TopicPartition

from serving.api_keys import KeyRing, Principal, keys_path
from stream.kafka.clients import consumer_for, needs_kafka, producer_for
from stream.kafka.publisher import publish
from stream.kafka.tail import Tail
from stream.loop.settings import loop_settings
from stream.loop.training.machine import OWNED
from stream.settings import KafkaSettings
from stream.stages.retrain.records import retraining_event
from stream.wire import LogRange, RetrainingRecord, canonical_time, partition_for
from weir.errors import AccessDenied, NotFoundError, SettingsError
from weir.home.access_log import log_access

Approval = Literal["approved", "rejected"]
_REASON_CHARACTERS = 500
#: A request can be approved, and an approval can be withdrawn, until work on the request begins. Then only a rejection is possible.
_OPEN = frozenset({"requested", "approved"})


class Decider(msgspec.Struct, frozen=True, kw_only=True):
    """The API key that decides. Each attempt is logged in the access log of `home` as `command`.

    `tenants` are the tables of the settings; they name the keys that may approve.
    """

    home: Path
    key: str
    command: str
    tenants: Mapping[str, Mapping[str, Any]]

    def __repr__(self) -> str:
        """Return the command, without the key."""
        return f"Decider({self.command!r})"

    def allowed(self, request: RetrainingRecord, outcome: Approval, *, possible: bool = True) -> str:
        """Return the id of the key if it may decide the request, else raise AccessDenied.

        Log the attempt in both cases, with the id of the key if the key is known. If the state of the request excludes the decision
        (`possible` is false), the logged result is ``refused``.
        """
        principal = KeyRing(keys_path(self.home)).identify(f"Bearer {self.key}")
        what = {"retraining_id": request.retraining_id, "outcome": outcome, "tenant": request.tenant}
        if principal is not None:
            what["key"] = principal.id
        try:
            by = self._checked(principal, request.tenant).id
        except AccessDenied:
            log_access(self.home, self.command, **what, result="denied")
            raise
        log_access(self.home, self.command, **what, result="allowed" if possible else "refused")
        return by

    def _checked(self, principal: Principal | None, tenant: str) -> Principal:
        if principal is None:
            raise AccessDenied(
                f"the API key is unknown or revoked; create a key with `weir keys create --tenant {tenant} --scope approve`"
            )
        fix = f"use a key of `weir keys create --tenant {tenant} --scope approve`"
        if principal.tenant != tenant:
            raise AccessDenied(
                f"the key {principal.id} belongs to tenant {principal.tenant}, the request to {tenant}; {fix}"
            )
        if "approve" not in principal.scopes:
            scopes = ", ".join(principal.scopes) or "(none)"
            raise AccessDenied(f"the key {principal.id} lacks the scope approve and has: {scopes}; {fix}")
        approvers = loop_settings(self.tenants, tenant).approvers
        if approvers and principal.id not in approvers:
            raise AccessDenied(
                f'the key {principal.id} is not in [tenants."{tenant}".loop] approvers ({", ".join(approvers)}); use one of them'
            )
        return principal


async def records_of(kafka: KafkaSettings, retraining_id: str) -> list[RetrainingRecord]:
    """Return all records of a retraining request, oldest first; raises NotFoundError, BrokerError or TopicMissing.

    Duplicates of the request, which can follow an approval, are left out.
    """
    found: list[RetrainingRecord] = []
    tail = Tail(kafka.client_options(), kafka.names.retraining, follow=False)
    async with aclosing(tail.events()) as events:
        async for _, event in events:
            if not isinstance(event.data, RetrainingRecord):
                continue
            is_duplicate = event.data.state == "requested" and any(one.state == "requested" for one in found)
            if event.data.retraining_id == retraining_id and not is_duplicate:
                found.append(event.data)
    if not any(record.state == "requested" for record in found):
        if suppressed := next((record for record in found if record.state == "suppressed"), None):
            raise NotFoundError(
                f"retraining {retraining_id} is suppressed, not requested ({suppressed.reason}); only a request can be approved, rejected "
                "or resumed. `weir retraining` prints the ids of requests"
            )
        raise NotFoundError(
            f"no retraining request {retraining_id!r} on {kafka.names.retraining}; `weir retraining` prints the ids of requests"
        )
    return found


async def decide(
    kafka: KafkaSettings, retraining_id: str, outcome: Approval, decider: Decider, reason: str = ""
) -> RetrainingRecord:
    """Publish the approval or the rejection of a request, and return its record; a repeated decision changes nothing.

    An approval pins the log up to now, so that the dataset contains what reviewers wrote since the request. At a rejection, Weir's
    trainer ends its run of the request.

    Raises AccessDenied if the key may not decide, SettingsError if the request was decided otherwise or its state excludes the
    decision, and the errors of :func:`records_of`.
    """
    if len(reason) > _REASON_CHARACTERS:
        raise SettingsError(f"the reason has {len(reason)} characters, the limit is {_REASON_CHARACTERS}; shorten it")
    history = await records_of(kafka, retraining_id)
    request = next(record for record in history if record.state == "requested")
    try:
        known = _known(history, outcome)
    except SettingsError:
        decider.allowed(request, outcome, possible=False)
        raise
    by = decider.allowed(request, outcome)
    if known is not None:
        return known
    if outcome == "approved":
        request = await _pinned_until_now(kafka, request)
    return await _publish(kafka, request, outcome, by, reason)


async def resume(kafka: KafkaSettings, retraining_id: str, decider: Decider) -> RetrainingRecord:
    """Approve a request that failed again, so that the trainer continues from its newest checkpoint; errors as :func:`decide`.

    If the run that failed had no dataset, the log is pinned up to now: a build that needed more reviews would fail again without them.
    """
    history = await records_of(kafka, retraining_id)
    request = next(record for record in reversed(history) if record.state in _OPEN)
    by = decider.allowed(request, "approved", possible=history[-1].state == "failed" and not _is_rejected(history))
    _check_not_rejected(history)
    failures = sum(record.state == "failed" for record in history)
    if history[-1].state != "failed":
        raise SettingsError(
            f"retraining {retraining_id} is {history[-1].state}; only a request whose last state is failed can be resumed"
        )
    if not history[-1].dataset_digest:
        request = await _pinned_until_now(kafka, request)
    return await _publish(kafka, request, "approved", by, f"resumed by {by}", number=failures)


def possible_decisions(history: Sequence[RetrainingRecord]) -> tuple[Approval, ...]:
    """Return the decisions that would change the state of a request, whose records are `history`, oldest first."""
    if not any(record.state == "requested" for record in history) or _is_rejected(history):
        return ()
    newest = history[-1]
    if newest.state == "requested":
        return ("approved", "rejected")
    # A trainer of the user's own has no lease, and does not read rejections.
    is_running = newest.state in OWNED and newest.lease_until is not None
    return ("rejected",) if newest.state in _OPEN or is_running else ()


def _known(history: list[RetrainingRecord], outcome: Approval) -> RetrainingRecord | None:
    """Return the newest record if it is this decision; raises SettingsError if its state excludes the decision."""
    newest = history[-1]
    if newest.state == outcome:
        return newest
    _check_not_rejected(history)
    if outcome not in possible_decisions(history):
        raise SettingsError(
            f"retraining {newest.retraining_id} is {newest.state} by {newest.by or 'Weir'}; only a request in state "
            f"{' or '.join(sorted(_OPEN))} can be approved or rejected, and only a run of Weir's trainer can be rejected until the gate "
            "has decided. `weir retraining resume` continues a failed request"
        )
    return None


def _is_rejected(history: Sequence[RetrainingRecord]) -> bool:
    return any(record.state == "rejected" for record in history)


def _check_not_rejected(history: list[RetrainingRecord]) -> None:
    """Raise SettingsError if a record rejects the request, also if an approval or a trainer's record follows it."""
    if rejected := next((record for record in history if record.state == "rejected"), None):
        raise SettingsError(
            f"retraining {rejected.retraining_id} was rejected by {rejected.by or 'Weir'}, and a rejection is final"
        )


async def _pinned_until_now(kafka: KafkaSettings, request: RetrainingRecord) -> RetrainingRecord:
    """Return the request with its ranges of the log extended to the present end."""

    def extended(item: LogRange) -> LogRange:
        return msgspec.structs.replace(
            item, last={name: ends[TopicPartition(item.topic, int(name))] for name in item.last}
        )

    ranges = [item for item in (request.data, *request.pins) if item is not None]
    places = [TopicPartition(item.topic, int(name)) for item in ranges for name in item.last]
    with needs_kafka(kafka.bootstrap_servers):
        async with consumer_for(kafka.client_options()) as consumer:
            ends = await consumer.end_offsets(places)
    return msgspec.structs.replace(
        request,
        data=None if request.data is None else extended(request.data),
        pins=tuple(extended(item) for item in request.pins),
    )


async def _publish(  # noqa: PLR0913 - the parts of the record
    kafka: KafkaSettings, request: RetrainingRecord, outcome: Approval, by: str, reason: str, *, number: int = 0
) -> RetrainingRecord:
    at = canonical_time(max(time.time(), request.at))
    data = msgspec.structs.replace(request, state=outcome, at=at, by=by, reason=reason or f"{outcome} by {by}")
    name = f"{outcome}/{number}" if number else outcome
    return await publish_record(kafka, data, name, source="weir/approval", cause=data.retraining_id)


async def publish_record(
    kafka: KafkaSettings, data: RetrainingRecord, name: str, *, source: str, cause: str = ""
) -> RetrainingRecord:
    """Publish a record on weir.retraining, and return it; its event has the id ``RETRAINING_ID/name``; raises BrokerError."""
    event = retraining_event(data, source=source, name=name, causationid=cause)
    with needs_kafka(kafka.bootstrap_servers):
        async with producer_for(kafka.client_options()) as producer:
            partition = partition_for(event.partitionkey, kafka.stream_partitions)
            await publish(producer, kafka.names.retraining, event, partition=partition)
    return data
