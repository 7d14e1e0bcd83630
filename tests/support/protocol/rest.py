"""A world at rest, and what its checks have in common."""

from typing import Any

import msgspec

from stream.wire import AlertRecord, FindingRecord, partition_for
from support.protocol.oracle import Inference, Watched
from support.protocol.parts import KAFKA
from support.protocol.record import Record
from support.protocol.world import World

__all__ = [
    "Rest",
    "alert_of",
    "finding_of",
    "findings",
    "same_in_copies",
    "tables",
    "told",
    "untraced",
    "untraced_alert",
]


class Rest:
    """A world at rest."""

    def __init__(self, world: World, record: Record) -> None:
        self.world = world
        self.record = record
        self.inference = Inference(record)
        self.watched = Watched(record)


def tables(rest: Rest, name: str) -> list[tuple[str, dict[bytes, bytes]]]:
    """Return a table as it would be recovered, and as those who have it hold it."""
    changelog: dict[bytes, bytes] = {}
    for number in range(KAFKA.stream_partitions):
        changelog |= rest.record.table(name, number)
    memory: dict[bytes, bytes] = {}
    for worker_name, worker in rest.world.workers.items():
        if worker_name.startswith("watch"):
            mine = {place.partition for place in worker.assigned}
            rows = worker.app.tables[name].data.items()
            memory |= {key: value for key, value in rows if partition_for(key, KAFKA.stream_partitions) in mine}
    return [("changelog", changelog), ("memory", memory)]


def findings(rest: Rest) -> list[Any]:
    return [event for event in rest.record.events(KAFKA.names.findings) if isinstance(event.data, FindingRecord)]


def finding_of(event: Any) -> FindingRecord:
    assert isinstance(event.data, FindingRecord)
    return event.data


def alert_of(event: Any) -> AlertRecord:
    assert isinstance(event.data, AlertRecord)
    return event.data


def untraced_alert(event: Any) -> Any:
    return None if event is None else msgspec.structs.replace(alert_of(event), trace_id="")


def untraced(finding: FindingRecord | None) -> Any:
    return None if finding is None else msgspec.structs.replace(finding, traces=())


def same_in_copies(said: tuple[object, ...]) -> tuple[object, ...]:
    *head, data, key = said
    if isinstance(data, FindingRecord):
        data = untraced(data)
    elif isinstance(data, AlertRecord):
        data = msgspec.structs.replace(data, trace_id="")
    return (*head, data, key)


def told(**lists: list[Any]) -> str:
    return "; ".join(f"{name}: {items[:5]}{' …' if len(items) > 5 else ''}" for name, items in lists.items() if items)
