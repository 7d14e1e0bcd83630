"""Labels joined with their answers, by request id, in any order and from any partition."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence

import msgspec

from stream.ledger.accuracy import JudgedAnswer

_HOUR_SECONDS = 3600


class JudgedAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled answers by (tenant, model), and by tenant the number of labelled requests without an answer in the ledger."""

    streams: dict[tuple[str, str], list[JudgedAnswer]]
    unjoined: dict[str, int]


class AccuracyHour(msgspec.Struct, frozen=True, kw_only=True):
    """The accuracy of the labelled answers of one hour of event time, which begins at `time`."""

    tenant: str
    model: str
    time: int
    answers: int
    accuracy: float


def judged_answers(shards: Sequence[sqlite3.Connection]) -> JudgedAnswers:
    """Join all labels with the answers of the same tenant.

    Of labels with the same id, the label with the latest `at` counts. The value of an answer is the mean of its labels.
    """
    values = _values(shards)
    streams: dict[tuple[str, str], list[JudgedAnswer]] = defaultdict(list)
    joined: set[tuple[str, str]] = set()
    wanted = msgspec.json.encode([request_id for _tenant, request_id in values]).decode()
    for database in shards:
        rows = database.execute(
            "SELECT e.tenant, e.model, e.time, e.request_id, e.principal FROM json_each(?) w"
            " CROSS JOIN events e ON e.event_id = w.value || '/end'",
            (wanted,),
        )
        for tenant, model, time, request_id, principal in rows:
            labels = values.get((tenant, request_id))
            if labels and (tenant, request_id) not in joined:
                joined.add((tenant, request_id))
                value = sum(sorted(labels)) / len(labels)  # sorted: the same sum in any order
                answer = JudgedAnswer(time=time, request_id=request_id, value=value, principal=principal)
                streams[tenant, model].append(answer)
    return JudgedAnswers(streams=dict(streams), unjoined=Counter(tenant for tenant, _id in values.keys() - joined))


def unjoined_count(judged: JudgedAnswers, tenant: str = "") -> int:
    """Return the number of labelled requests of a tenant ("": all) that have no answer in the ledger."""
    return judged.unjoined.get(tenant, 0) if tenant else sum(judged.unjoined.values())


def _values(shards: Sequence[sqlite3.Connection]) -> dict[tuple[str, str], list[float]]:
    """Return {(tenant, request id): values of its labels}."""
    newest: dict[tuple[str, str], tuple[float, float, str]] = {}
    for database in shards:
        for label_id, tenant, request_id, value, at in database.execute(
            "SELECT label_id, tenant, request_id, value, at FROM labels"
        ):
            key, label = (tenant, label_id), (at, value, request_id)
            newest[key] = max(newest.get(key, label), label)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (tenant, _label_id), (_at, value, request_id) in newest.items():
        values[tenant, request_id].append(value)
    return values


def accuracy_hours(judged: JudgedAnswers, tenant: str = "") -> list[AccuracyHour]:
    """Return the accuracy by tenant, model and hour, in this order; `tenant` is "" for all tenants."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for (owner, model), answers in judged.streams.items():
        if tenant in {"", owner}:
            for answer in answers:
                found[owner, model, int(answer.time // _HOUR_SECONDS)].append(answer.value)
    return [
        AccuracyHour(
            tenant=owner,
            model=model,
            time=hour * _HOUR_SECONDS,
            answers=len(values),
            accuracy=sum(sorted(values)) / len(values),
        )
        for (owner, model, hour), values in sorted(found.items())
    ]
