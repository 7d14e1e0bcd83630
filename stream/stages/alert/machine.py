"""The alert stage without Kafka: it applies findings and watermarks and returns alert records.

A finding about one event opens an alert at once; the alert resolves after some event time without another finding. For
findings about closed buckets (time windows), an alert opens after some consecutive buckets with an alarm and resolves
after some without an alarm (hysteresis). Findings about inactive sources are of this kind; each source has its own alert.
"""

from collections.abc import Callable

from stream.settings import TenantSettings
from stream.stages.alert.evidence import add
from stream.stages.alert.records import alert_event
from stream.stages.alert.state import HELD, SLOT, DetectorState, Evidence, OpenAlert, StreamAlerts, short_id, slot
from stream.stages.watch.records import RESET
from stream.wire import OWN_TENANT, Event, FindingRecord, SentinelRecord, stream_key
from stream.wire.ids import alert_id

#: Records the span of a new alert: (alert id, detector, context of its cause, other contexts) -> traceparent of the span.
Opener = Callable[[str, str, str, tuple[str, ...]], str]
_CRITICAL, _WARNING = "critical", "warning"
#: Finding ids are kept for at least this event time: a restarted score worker publishes duplicates within minutes.
_HOLD_SECONDS = 600.0
#: A finding further ahead of the watermark comes from a source whose clock is wrong: watch is hours behind at most.
_AHEAD_SECONDS = _DAY_SECONDS = 86_400.0
#: If no finding comes, an alert of a stream detector resolves after twice the longest time between two windows with events that
#: ended in the last seven days: nights and weekends do not end an incident. Of n exponential times, one exceeds twice the
#: longest earlier one with a probability of about 2 / n². The limit is that of a stream that has ended.
_LONGEST_GAPS, _GAP_DAYS, _LONGEST_QUIET = 2.0, 7, 4 * _DAY_SECONDS
#: The state of a stream's detector without an alert is kept this long after its last window, so that a weekly gap counts. It is
#: then deleted, because clients can invent names of models. The state of a source is deleted earlier.
_REMEMBERED_SECONDS = 14 * _DAY_SECONDS


def no_span(_alert_id: str, _detector: str, cause: str, _others: tuple[str, ...]) -> str:
    """Return the trace context `cause` as the trace context of a new alert, without creating a span."""
    return cause


class Alerting:
    """Changes the alerts of one stream under the settings of its tenant.

    Methods change the given state and return the records to publish before the state is written. `sentinel` states
    whether the model's answers to Weir's fixed prompts changed; drift alerts contain this result. `watermark` is the
    largest watermark so far. A finding about an earlier event is late, and gets the time of the watermark. Otherwise
    the next tick would resolve its alert, and the next late finding would open another alert. A finding more than a day
    ahead of the watermark gets a time one day ahead. Otherwise its alert would fire until the time of the event.
    """

    def __init__(
        self,
        settings: TenantSettings,
        opener: Opener,
        sentinel: SentinelRecord | None = None,
        watermark: float | None = None,
    ) -> None:
        self._settings = settings.alerts
        self._bucket_seconds = settings.bucket_seconds
        self._opener = opener
        self._sentinel = sentinel
        self._watermark = watermark
        self._hold_seconds = max(2 * settings.alerts.resolve_after_seconds, _HOLD_SECONDS)

    def finding(self, state: StreamAlerts, event: Event, offset: int) -> list[Event]:
        """Apply the finding at `offset` of the findings partition.

        Findings are ignored if their offset, event or bucket was applied before.
        """
        finding = event.data
        assert isinstance(finding, FindingRecord)
        if offset <= state.offset or finding.feature == RESET:
            return []
        state.offset = offset
        return self._single(state, event, finding) if finding.bucket is None else self._bucket(state, event, finding)

    def watermark(self, state: StreamAlerts, watermark: float, offset: int) -> list[Event]:
        """Resolve the alerts that are due at `watermark`; publish other alerts again if they have unpublished findings.

        An alert is published again only if its last record is old enough. The time of a new record is the event time at
        which the record was due. So the record is the same if the watermark advances slowly or in one jump.
        """
        if offset <= state.offset:
            return []
        records = [
            record
            for name in sorted(state.detectors)
            if (record := self._due(state, name, state.detectors[name], watermark)) is not None
        ]
        if records:
            state.offset = offset
        self._forget(state, watermark)
        return records

    def due(self, state: StreamAlerts) -> float:
        """Return the first watermark at which :meth:`watermark` changes the state, or 0 if the state is empty."""
        times = [state.held[0][0] + self._hold_seconds] if state.held else []
        for name, detector in state.detectors.items():
            if detector.alert is not None and detector.evidence is not None:
                times.append(detector.evidence.last_time + detector.alert.resolves_after)
                times += [detector.alert.at + self._settings.update_seconds] * detector.alert.dirty
            else:
                times.append(self._forgotten_at(name, detector))
        return min(times, default=0.0)

    def _due(self, state: StreamAlerts, name: str, detector: DetectorState, watermark: float) -> Event | None:
        if detector.alert is None or detector.evidence is None:
            return None
        resolve = detector.evidence.last_time + detector.alert.resolves_after
        if watermark >= resolve:
            return self._revise(state, name, detector, resolve, resolved=True)
        update = detector.alert.at + self._settings.update_seconds
        if detector.alert.dirty and watermark >= update:
            return self._revise(state, name, detector, update)
        return None

    def _single(self, state: StreamAlerts, event: Event, finding: FindingRecord) -> list[Event]:
        # Not the id: during an update of a detector, an event can have the findings of two versions.
        identity = short_id(f"{finding.detector}/{(*finding.evidence, event.id)[0]}")
        if finding.score < self._settings.threshold.get(finding.detector, 0.0):
            return []
        if not finding.alarm or any(held == identity for _, held in state.held):
            return []
        at = self._time(finding.time)
        state.held = [*state.held[-HELD + 1 :], (at, identity)]
        detector = state.detectors.setdefault(finding.detector, DetectorState())
        detector.evidence = detector.evidence or Evidence(window_seconds=self._bucket_seconds)
        last = max(detector.evidence.last_time, at)
        add(detector.evidence, event.id, finding, event.traceparent)
        detector.evidence.last_time = last
        if detector.alert is None:
            return [self._open(state, event, detector, self._settings.resolve_after_seconds, at)]
        return self._changed(state, finding.detector, detector, at)

    def _time(self, time: float) -> float:
        """Return the time at which a finding about an event at `time` counts."""
        if self._watermark is None:
            return time
        return min(max(time, self._watermark), self._watermark + _AHEAD_SECONDS)

    def _bucket(self, state: StreamAlerts, event: Event, finding: FindingRecord) -> list[Event]:
        own = finding.tenant == OWN_TENANT and not finding.model  # about a source; a sentinel's is about a model
        name = slot(finding.detector, finding.feature if own else "")
        detector = state.detectors.setdefault(name, DetectorState())
        if detector.last_bucket_end is not None and finding.time <= detector.last_bucket_end:
            return []
        detector.last_bucket_end = finding.time
        if finding.events:
            self._add_gap(detector, finding.time)
        if not finding.alarm:
            return self._clear(state, finding, detector)
        if not finding.events and not own:
            return []  # a statistic that stays past its limit without events is no new evidence
        detector.alarms, detector.clears = detector.alarms + 1, 0
        width = finding.bucket_seconds or self._bucket_seconds
        detector.evidence = detector.evidence or Evidence(window_seconds=width)
        features = len(detector.evidence.features)
        add(detector.evidence, event.id, finding, event.traceparent)
        usual = min(_LONGEST_GAPS * max(detector.gaps.values(), default=0.0), _LONGEST_QUIET)
        quiet = max(self._settings.resolve_after_seconds, self._settings.close_windows * width, usual)
        if detector.alert is not None:
            detector.alert.resolves_after = quiet
            further = len(detector.evidence.features) > features
            return self._changed(state, finding.detector, detector, finding.time, at_once=further)
        if detector.alarms < self._settings.open_windows:
            return []
        return [self._open(state, event, detector, quiet, finding.time)]

    @staticmethod
    def _add_gap(detector: DetectorState, time: float) -> None:
        if detector.last_events is not None:
            day = int(time // _DAY_SECONDS)
            gaps = {past: gap for past, gap in detector.gaps.items() if past > day - _GAP_DAYS}
            detector.gaps = gaps | {day: max(gaps.get(day, 0.0), time - detector.last_events)}
        detector.last_events = time

    def _clear(self, state: StreamAlerts, finding: FindingRecord, detector: DetectorState) -> list[Event]:
        detector.alarms, detector.clears = 0, detector.clears + 1
        if detector.alert is None:
            detector.evidence = None
            return []
        if detector.clears < self._settings.close_windows:
            return []
        return [self._revise(state, finding.detector, detector, finding.time, resolved=True)]

    def _open(
        self, state: StreamAlerts, event: Event, detector: DetectorState, resolves_after: float, at: float
    ) -> Event:
        finding, evidence = event.data, detector.evidence
        assert isinstance(finding, FindingRecord)
        assert evidence is not None
        stream = stream_key(state.tenant, state.model, state.side, state.part, state.model_version)
        # An alert of this finding can have resolved, so its id is used: consumers would ignore revision 0 of it.
        used = at >= finding.time + resolves_after
        identity = alert_id(stream, finding.detector, f"{event.id}/{at:.6f}" if used else event.id)
        others = tuple(context for context in evidence.traces if context != event.traceparent)
        detector.alert = OpenAlert(
            alert_id=identity,
            cause=event.id,
            severity=self._severity(evidence),
            opened_at=min(finding.time, at),
            at=at,
            traceparent=self._opener(identity, finding.detector, event.traceparent, others),
            resolves_after=resolves_after,
        )
        return alert_event(state, finding.detector, detector.alert, evidence, resolved=False, sentinel=self._sentinel)

    def _changed(
        self, state: StreamAlerts, name: str, detector: DetectorState, time: float, *, at_once: bool = False
    ) -> list[Event]:
        """Mark the alert as changed; return a record if `at_once`, the severity changes or the last record is old enough."""
        assert detector.alert is not None
        assert detector.evidence is not None
        detector.alert.dirty = True
        urgent = at_once or self._severity(detector.evidence) != detector.alert.severity
        if not urgent and time < detector.alert.at + self._settings.update_seconds:
            return []
        return [self._revise(state, name, detector, time)]

    def _revise(
        self, state: StreamAlerts, name: str, detector: DetectorState, time: float, *, resolved: bool = False
    ) -> Event:
        """Return the alert's next record; remove a resolved alert from the state."""
        alert, evidence = detector.alert, detector.evidence
        assert alert is not None
        assert evidence is not None
        alert.at = max(alert.at, time)
        alert.revision += 1
        alert.dirty = False
        if resolved:
            detector.alert = detector.evidence = None
            detector.alarms = detector.clears = 0
        else:
            alert.severity = self._severity(evidence)
        return alert_event(state, name, alert, evidence, resolved=resolved, sentinel=self._sentinel)

    def _severity(self, evidence: Evidence) -> str:
        return _CRITICAL if evidence.count >= self._settings.critical_findings else _WARNING

    def _forget(self, state: StreamAlerts, watermark: float) -> None:
        horizon = watermark - self._hold_seconds
        if state.held and state.held[0][0] < horizon:
            state.held = [pair for pair in state.held if pair[0] >= horizon]
        for name, detector in list(state.detectors.items()):
            if detector.alert is None and self._forgotten_at(name, detector) < watermark:
                del state.detectors[name]

    def _forgotten_at(self, name: str, detector: DetectorState) -> float:
        """Return when a detector without an alert is deleted: at once if it has no bucket."""
        return (detector.last_bucket_end or 0.0) + (self._hold_seconds if SLOT in name else _REMEMBERED_SECONDS)
