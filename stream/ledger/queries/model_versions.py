"""The trained versions of models that retraining events name, each with its newest state."""

import sqlite3

import msgspec

from stream.ledger.schema import RETRAINING


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version with the newest state of a retraining event that names it, at `at` (seconds since the epoch)."""

    version: str
    tenant: str
    model: str
    state: str
    reason: str
    at: float
    retraining_id: str


def model_versions(decisions: sqlite3.Connection, limit: int) -> list[ModelVersion]:
    """Return at most `limit` versions, the version with the newest state first.

    Of several states of one retraining, the last state in the log is the newest, because their times are from the
    clocks of several machines.
    """
    found: dict[str, ModelVersion] = {}
    rows = decisions.execute(
        "SELECT record FROM (SELECT *, row_number() OVER"
        " (PARTITION BY retraining_id, json_extract(record, '$.model_version') ORDER BY offset DESC) AS age"
        " FROM retraining INDEXED BY retraining_progress WHERE state <> 'suppressed'"
        " AND ifnull(json_extract(record, '$.model_version'), '') <> '') WHERE age = 1 ORDER BY at DESC, retraining_id"
    )
    for (text,) in rows:
        record = RETRAINING.decode(text)
        if record.model_version not in found:
            found[record.model_version] = ModelVersion(
                version=record.model_version,
                tenant=record.tenant,
                model=record.model,
                state=record.state,
                reason=record.reason,
                at=record.at,
                retraining_id=record.retraining_id,
            )
        if len(found) == limit:
            break
    return list(found.values())
