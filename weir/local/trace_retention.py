"""Deletes the old traces of an MLflow server, which keeps all (``python -m weir.local.trace_retention ADDRESS HOURS``)."""

import logging
import sys
import time

import httpx
import msgspec

_LOG = logging.getLogger(__name__)
#: MLflow deletes a batch in one transaction, during which it stores no traces.
_BATCH = 500
_BATCH_PAUSE_SECONDS = 1.0
_PAUSE_SECONDS = 600.0
_TIMEOUT_SECONDS = 60.0


class _Deleted(msgspec.Struct):
    traces_deleted: int = 0


def delete_traces(address: str, before: float) -> int:
    """Delete the oldest traces that began before the clock time `before`, at most 500; return their number.

    Raises httpx.HTTPError, or ValueError for an answer that is not MLflow's.
    """
    query = {"experiment_id": "0", "max_timestamp_millis": int(before * 1000), "max_traces": _BATCH}
    url = f"{address}/api/3.0/mlflow/traces/delete-traces"
    response = httpx.post(url, json=query, timeout=_TIMEOUT_SECONDS, trust_env=False)
    response.raise_for_status()
    return msgspec.json.decode(response.content, type=_Deleted).traces_deleted


def run(address: str, hours: float) -> None:
    """Delete the traces that are older than `hours`, every 10 minutes, and faster while there are many."""
    pause = _PAUSE_SECONDS
    while True:
        time.sleep(pause)
        try:
            deleted = delete_traces(address, time.time() - hours * 3600)
        except (httpx.HTTPError, ValueError) as error:
            _LOG.warning(
                "old traces of MLflow at %s were not deleted; the next attempt is in 10 minutes: %s", address, error
            )
            deleted = 0
        pause = _BATCH_PAUSE_SECONDS if deleted == _BATCH else _PAUSE_SECONDS


if __name__ == "__main__":
    server, retained_hours = sys.argv[1:]  # another number of arguments is an error: a former version had three
    run(server, float(retained_hours))
