"""Compares the published alerts with the stage's states, and corrects the published ones.

A worker publishes an alert before it writes the state. So if it ends between the two, the next worker publishes the same records again, but not under
other settings. A worker that was paused publishes old records. Both topics are compacted, and a state can be lost.
"""

from collections.abc import Mapping

import msgspec

from stream.stages.alert.records import ALERT_SOURCE
from stream.stages.alert.state import StreamAlerts
from stream.wire import AlertRecord, Event, partition_for, stream_key

_RESOLVED = 4096
_REASON = " Resolved because its state was lost or the settings changed; a new finding opens a new alert."


class PublishedAlerts:
    """The newest record of each firing alert, and of the latest 4,096 resolved alerts.

    The newest record has the highest revision. Of two records with the same revision, it is the firing one: consumers can have ignored the other.
    `partitions` is the number of partitions of findings.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        # by alert id: the newest record, and whether it is also the last one
        self._firing: dict[str, tuple[Event, bool]] = {}
        self._resolved: dict[str, tuple[Event, bool]] = {}

    def add(self, event: Event) -> None:
        """Apply a record of the alerts topic, in order; ignore records of other sources."""
        record = event.data
        if not isinstance(record, AlertRecord) or event.source != ALERT_SOURCE:
            return
        name = record.alert_id
        known = self._firing.pop(name, None) or self._resolved.pop(name, None)
        newest = (event, True) if known is None or _order(event) >= _order(known[0]) else (known[0], False)
        (self._firing if _order(newest[0])[1] else self._resolved)[name] = newest
        if len(self._resolved) > _RESOLVED:
            del self._resolved[next(iter(self._resolved))]

    def streams(self, partition: int) -> set[str]:
        """Return the keys of the streams with a firing alert, in a partition of findings."""
        streams = {_stream(event) for event, _ in self._firing.values()}
        return {key for key in streams if partition_for(key, self._partitions) == partition}

    def corrections(self, partition: int, states: Mapping[str, StreamAlerts]) -> list[Event]:
        """Return the records that correct the alerts of a partition of findings, after the findings they are about were read.

        An alert that fires and is not open in `states` is resolved. If the last record of an alert is not the newest, the newest is published again,
        because compaction keeps only the last. An open alert continues at its published revision, because consumers ignore lower revisions.
        """
        opened = {
            item.alert.alert_id: item.alert
            for state in states.values()
            for item in state.detectors.values()
            if item.alert
        }
        records = []
        for name, (event, is_last) in [*self._firing.items(), *self._resolved.items()]:
            if partition_for(_stream(event), self._partitions) != partition:
                continue
            revision, fires = _order(event)
            if name in opened:
                opened[name].revision = max(opened[name].revision, revision)
            elif fires:
                records.append(_resolved(event, revision + 1))
                continue
            if not is_last:
                records.append(event)
        return records


def _order(event: Event) -> tuple[int, bool]:
    assert isinstance(event.data, AlertRecord)
    return event.data.revision, event.data.state == "firing"


def _stream(event: Event) -> str:
    record = event.data
    assert isinstance(record, AlertRecord)
    return stream_key(record.tenant, record.model, record.side, record.part, record.model_version)


def _resolved(event: Event, revision: int) -> Event:
    record = event.data
    assert isinstance(record, AlertRecord)
    data = msgspec.structs.replace(
        record, state="resolved", resolved_at=record.at, revision=revision, summary=record.summary + _REASON
    )
    return msgspec.structs.replace(event, id=f"{record.alert_id}/{revision}", data=data)
