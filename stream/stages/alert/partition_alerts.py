"""The alerts of one partition of findings, and for each stream the watermark at which its alerts change next."""

from collections.abc import Callable, Mapping

from stream.remember import remember
from stream.settings import TenantSettings
from stream.stages.alert.machine import Alerting, Opener, no_span
from stream.stages.alert.state import StreamAlerts
from stream.wire import Event, FindingRecord, SentinelRecord, Tick, stream_key, trained_version

_MODELS = 1024


class PartitionAlerts:
    """Applies the records of one partition of findings, in order.

    If `only` is given, streams with other keys are ignored. `sentinels` is {model: its newest SentinelRecord}; it is only in memory, because new
    records arrive within minutes. `watermark` is the largest watermark before the first record. A tick costs one comparison per stream, and more per
    stream that is due. Empty states are removed.
    """

    def __init__(
        self,
        tenants: Callable[[str], TenantSettings],
        states: Mapping[str, StreamAlerts] | None = None,
        opener: Opener = no_span,
        only: set[str] | None = None,
        watermark: float | None = None,
    ) -> None:
        self.states = dict(states or {})
        self.sentinels: dict[str, SentinelRecord] = {}
        self._tenants = tenants
        self._opener = opener
        self._only = only
        self._watermark = watermark
        self._due: dict[str, float] = {}
        self._changed: set[str] = set()
        self._offset = -1
        for key in self.states:
            self._schedule(key)

    def apply(self, event: Event, offset: int | None = None) -> list[Event]:
        """Apply the record at `offset` (default: the next offset); return the records to publish before states are written."""
        offset = self._offset = self._offset + 1 if offset is None else offset
        if isinstance(event.data, FindingRecord):
            return self._finding(event, event.data, offset)
        if isinstance(event.data, SentinelRecord):
            self._note(event.data)
        elif isinstance(event.data, Tick) and event.data.watermark is not None:
            return self._tick(event.data.watermark, offset)
        return []

    def changed(self) -> dict[str, StreamAlerts | None]:
        """Return the states that changed since the last call, and None for each removed state."""
        changed, self._changed = self._changed, set()
        return {key: self.states.get(key) for key in changed}

    def _finding(self, event: Event, finding: FindingRecord, offset: int) -> list[Event]:
        key = stream_key(finding.tenant, finding.model, finding.side, finding.part, finding.model_version)
        if self._only is not None and key not in self._only:
            return []
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = StreamAlerts(
                tenant=finding.tenant,
                model=finding.model,
                side=finding.side,
                part=finding.part,
                model_version=trained_version(finding.model_version),
            )
        records = self._alerting(state).finding(state, event, offset)
        self._schedule(key)
        if state.offset == offset:
            self._changed.add(key)
        return records

    def _tick(self, watermark: float, offset: int) -> list[Event]:
        records = []
        watermark = self._watermark = max(watermark, self._watermark or 0.0)  # a paused worker can send old ticks
        for key in [key for key, time in self._due.items() if time <= watermark]:
            state = self.states[key]
            found = self._alerting(state).watermark(state, watermark, offset)
            records += found
            if state.detectors or state.held:
                self._schedule(key)
            else:
                del self.states[key], self._due[key]
            if found or key not in self.states:
                self._changed.add(key)
        return records

    def _note(self, note: SentinelRecord) -> None:
        """Keep the newest sentinel record per model, for at most 1,024 models."""
        known = self.sentinels.get(note.model)
        if known is not None and known.at > note.at:
            return
        remember(self.sentinels, note.model, note, _MODELS)

    def _schedule(self, key: str) -> None:
        self._due[key] = self._alerting(self.states[key]).due(self.states[key])

    def _alerting(self, state: StreamAlerts) -> Alerting:
        return Alerting(self._tenants(state.tenant), self._opener, self.sentinels.get(state.model), self._watermark)
