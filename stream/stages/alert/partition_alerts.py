"""The alerts of one partition of findings, and when log time next does something to each."""

from collections.abc import Callable, Mapping

from stream.stages.alert.state import StreamAlerts
from stream.wire import FindingRecord, SentinelRecord, stream_key

__all__ = ["PartitionAlerts"]

_MODELS = 1024


class PartitionAlerts:
    """States by stream.

    Parameters
    ----------
    states
        As they are in the table.
    due
        Returns the log time before which nothing is due in a state, None where nothing is
        (:meth:`stream.stages.alert.machine.Alerting.due`).

    Attributes
    ----------
    sentinels
        The newest word of the sentinels, by model. In memory alone: it colours a sentence, and comes again within minutes.

    Notes
    -----
    A tick costs a comparison for each stream that something is pending for, and work for those alone where it is due.
    """

    def __init__(self, states: Mapping[str, StreamAlerts], due: Callable[[StreamAlerts], float | None]) -> None:
        self.states = dict(states)
        self._due = due
        self._times: dict[str, float] = {}
        self.sentinels: dict[str, SentinelRecord] = {}
        for key in self.states:
            self.changed(key)

    def state_of(self, finding: FindingRecord) -> StreamAlerts:
        """Return the state of the stream that `finding` is about, a new one where there is none."""
        key = stream_key(finding.tenant, finding.model, finding.side)
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = StreamAlerts(tenant=finding.tenant, model=finding.model, side=finding.side)
        return state

    def told(self, note: SentinelRecord) -> None:
        """Keep what the sentinels say of a model, where it is newer; of the 1,024 models told of last."""
        known = self.sentinels.get(note.model)
        if known is not None and known.at > note.at:
            return
        self.sentinels.pop(note.model, None)
        self.sentinels[note.model] = note
        if len(self.sentinels) > _MODELS:
            del self.sentinels[next(iter(self.sentinels))]

    def changed(self, key: str) -> None:
        """Look anew when something is due in the state of `key`."""
        time = self._due(self.states[key])
        if time is None:
            self._times.pop(key, None)
        else:
            self._times[key] = time

    def due(self, watermark: float) -> list[str]:
        """Return the streams for which something is due by `watermark`."""
        return [key for key, time in self._times.items() if time <= watermark]
