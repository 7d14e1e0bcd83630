"""Operators' silences; each mutes the notifications about one subject: (stream, detector, feature).

A silence changes no state: a muted alert opens, resolves and counts for retraining and `weir status` like any other alert. The alert from which a
silence was created stays muted if the feature of the alert changes. Silences are unrelated to alerts of detector ``silence``, which report inactive
sources (stream/stages/watch/source_liveness.py).
"""

from stream.wire import AlertRecord, SilenceRecord, stream_key
from stream.wire.ids import silence_id

SHORTEST_SECONDS = 60.0
#: Longest silence: a consumer that starts this far back reads every silence that can be active.
LONGEST_SECONDS = 30 * 86_400.0


def is_silence(key: bytes | None) -> bool:
    """Return whether `key` is that of a silence on weir.alerts."""
    return key is not None and key.startswith(b"si_")


def silence_id_of(alert: AlertRecord) -> str:
    """Return the id of the silence that mutes the subject of `alert`."""
    stream = stream_key(alert.tenant, alert.model, alert.side, alert.part, alert.model_version)
    return silence_id(stream, alert.detector, alert.feature)


class Silences:
    """The newest silence (largest `at`) of each subject in the log; processing is idempotent."""

    def __init__(self) -> None:
        self._known: dict[str, SilenceRecord] = {}
        self._made_from: dict[str, str] = {}

    def apply(self, record: SilenceRecord) -> None:
        """Add a silence record of the log, unless a newer record for the same subject is known."""
        known = self._known.get(record.silence_id)
        if known is None or record.at >= known.at:
            self._known[record.silence_id] = record
            self._made_from[record.alert_id] = record.silence_id

    def newest(self, name: str) -> SilenceRecord | None:
        """Return the newest record of the silence with id `name`, active or expired."""
        return self._known.get(name)

    def muting(self, alert: AlertRecord, time: float) -> list[SilenceRecord]:
        """Return the silences that mute `alert` at `time` (event time, seconds)."""
        names = dict.fromkeys((silence_id_of(alert), self._made_from.get(alert.alert_id, "")))
        found = [self._known[name] for name in names if name in self._known]
        return [record for record in found if _is_active(record, time)]

    def active(self, time: float) -> list[SilenceRecord]:
        """Return the silences that are active at `time`, ordered by expiry."""
        found = [record for record in self._known.values() if _is_active(record, time)]
        return sorted(found, key=lambda record: (record.until, record.silence_id))


def _is_active(record: SilenceRecord, time: float) -> bool:
    return record.at <= time < record.until
