"""Operators' silences: whether what fires of a thing is to be told.

A silence mutes telling and changes no state: a muted alert opens, resolves, counts for retraining and for `weir status` as any.
It mutes one thing, (stream, detector, feature), and the alert that it was made from whatever feature that one comes to have.
This is no detector: detector ``silence``, a source that has fallen silent, is stream/watch/silence.py.
"""

from stream.wire import AlertRecord, SilenceRecord, stream_key
from stream.wire.ids import silence_id

__all__ = ["LONGEST_SECONDS", "SHORTEST_SECONDS", "Silences", "silence_id_of"]

SHORTEST_SECONDS = 60.0
#: Bounded, so that a reader who goes back so far knows every silence that can still hold.
LONGEST_SECONDS = 30 * 86_400.0


def silence_id_of(alert: AlertRecord) -> str:
    """Return the id of the silence that mutes what `alert` is about."""
    return silence_id(stream_key(alert.tenant, alert.model, alert.side), alert.detector, alert.feature)


class Silences:
    """The silences that the log holds, one a thing.

    The newest by `at` counts, so that one read again changes nothing; a writer never dates one before the one that it replaces.
    """

    def __init__(self) -> None:
        self._known: dict[str, SilenceRecord] = {}
        self._made_from: dict[str, str] = {}

    def apply(self, record: SilenceRecord) -> None:
        """Take a record of the log."""
        known = self._known.get(record.silence_id)
        if known is None or record.at >= known.at:
            self._known[record.silence_id] = record
            self._made_from[record.alert_id] = record.silence_id

    def newest(self, name: str) -> SilenceRecord | None:
        """Return what was last said of the thing that silence id `name` stands for, whether it holds or not."""
        return self._known.get(name)

    def muting(self, alert: AlertRecord, moment: float) -> list[SilenceRecord]:
        """Return the silences that mute `alert` at `moment` of log time (seconds)."""
        names = dict.fromkeys((silence_id_of(alert), self._made_from.get(alert.alert_id, "")))
        found = [self._known[name] for name in names if name in self._known]
        return [record for record in found if _holds(record, moment)]

    def active(self, moment: float) -> list[SilenceRecord]:
        """Return those that hold at `moment`, the one that ends first first."""
        found = [record for record in self._known.values() if _holds(record, moment)]
        return sorted(found, key=lambda record: (record.until, record.silence_id))


def _holds(record: SilenceRecord, moment: float) -> bool:
    return record.at <= moment < record.until
