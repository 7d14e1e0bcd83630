"""Compares rebuilt alerts with the published ones, and resolves firing alerts of which the stage has no state.

The topic is compacted. So if the state of an alert was lost, the alert would fire for ever without such a record.
"""

import msgspec

from stream.stages.alert.records import ALERT_SOURCE
from stream.stages.alert.state import StreamAlerts
from stream.wire import AlertRecord, Event, partition_for, stream_key

_REASON = " Resolved because its state was lost and could not be rebuilt; a new finding opens a new alert."


class FiringAlerts:
    """The published alerts of partition `partition` of findings, which has `partitions` partitions; by alert id."""

    def __init__(self, partition: int, partitions: int) -> None:
        self._partition = partition
        self._partitions = partitions
        self._firing: dict[str, Event] = {}
        self._revisions: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Apply a record of the alerts topic."""
        record = event.data
        if not isinstance(record, AlertRecord) or event.source != ALERT_SOURCE:
            return
        if partition_for(_stream(record), self._partitions) != self._partition:
            return
        self._revisions[record.alert_id] = max(record.revision, self._revisions.get(record.alert_id, -1))
        if record.state == "firing":
            self._firing[record.alert_id] = event
        else:
            self._firing.pop(record.alert_id, None)

    def streams(self) -> set[str]:
        """Return the keys of the streams with a firing alert."""
        return {_stream(event.data) for event in self._firing.values() if isinstance(event.data, AlertRecord)}

    def continue_revisions(self, states: dict[str, StreamAlerts]) -> None:
        """Raise the revision of each open alert in `states` to its last published one; consumers ignore lower revisions.

        An alert that is rebuilt under other settings can have fewer records than were published.
        """
        for state in states.values():
            for item in state.detectors.values():
                if item.alert is not None:
                    published = self._revisions.get(item.alert.alert_id, -1)
                    item.alert.revision = max(item.alert.revision, published)

    def resolved(self, states: dict[str, StreamAlerts], lost: set[str], unread: set[str]) -> list[Event]:
        """Return the records that resolve each alert of the streams `lost` that is not open in `states`.

        An alert whose cause is one of the finding ids `unread` is left out: the stage will open this alert again.
        """
        known = {item.alert.alert_id for state in states.values() for item in state.detectors.values() if item.alert}
        return [
            _resolved(event, event.data)
            for name, event in self._firing.items()
            if isinstance(event.data, AlertRecord) and name not in known and event.causationid not in unread
            if _stream(event.data) in lost
        ]


def _stream(record: AlertRecord) -> str:
    return stream_key(record.tenant, record.model, record.side, record.part, record.model_version)


def _resolved(event: Event, record: AlertRecord) -> Event:
    revision = record.revision + 1
    data = msgspec.structs.replace(
        record, state="resolved", resolved_at=record.at, revision=revision, summary=record.summary + _REASON
    )
    return msgspec.structs.replace(event, id=f"{record.alert_id}/{revision}", data=data)
