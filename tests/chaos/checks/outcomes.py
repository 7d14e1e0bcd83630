"""Check I3 and I4: exactly the records and states that follow from the texts and the log are published and stored."""

import msgspec

from chaos.checks.violations import violations
from chaos.engine import SPEC, Words
from chaos.record import plain_alert, plain_finding
from chaos.replay import plain_alerts
from stream.stages.alert import state as alert_state
from stream.stages.score.event_features import embedded
from stream.stages.score.machine import item_of, verdicts
from stream.stages.score.model_process import ModelProcess
from stream.stages.score.records import finding_event, signal_events, verdict_event
from stream.stages.watch.state import decode_sources, decode_stream, sources_key

_BATCH = 256


def _quick(name, _options=None):
    return Words(name, wait=False)


class Outputs:
    """The outputs of the inference events, computed from their texts: verdicts, findings and signals by id.

    `of` has, by identity of an inference event, the ids of its verdicts and of its signal.
    """

    def __init__(self) -> None:
        self._engine = ModelProcess(msgspec.structs.replace(SPEC, create=_quick))
        self._engine.load()
        self.verdicts = {}
        self.findings = {}
        self.signals = {}
        self.of = {}

    def add(self, record):
        """Compute the outputs of the new events."""
        fresh = [(key, seen.event) for key, seen in record.inference.items() if key not in self.of]
        for start in range(0, len(fresh), _BATCH):
            batch = fresh[start : start + _BATCH]
            items = [item_of(event.data, embed=embedded(event.id, event.data, 1.0)) for _, event in batch]
            for (key, event), scored in zip(batch, self._engine.score(items), strict=True):
                self._outputs(key, event, scored)

    def _outputs(self, key, event, scored):
        ids = []
        for verdict in verdicts(event, scored, lambda _: "unknown"):
            ids.append(verdict_event(event, verdict, "").id)
            self.verdicts[ids[-1]] = verdict
            if (finding := finding_event(event, verdict, "")) is not None:
                self.findings[finding.id] = plain_finding(finding.data)
        (signal,) = signal_events(event, scored, "")
        self.signals[signal.id] = signal.data
        self.of[key] = (ids, signal.id)

    def compared(self, record):
        """Check I4 for score: verdicts, findings of single events, and signals."""
        return [
            *_compare("verdicts", _data(record.verdicts), self.verdicts),
            *_compare("signals", _data(record.signals), self.signals),
            *_compare("findings of single events", _data(record.found), self.findings),
        ]


def _data(seen):
    return {key: one.event.data for key, one in seen.items()}


def _compare(what, seen, wanted, invariant="I4"):
    unlike = sorted(key for key in wanted.keys() & seen.keys() if seen[key] != wanted[key])
    return [
        *violations(invariant, f"{what} are missing", sorted(wanted.keys() - seen.keys())),
        *violations(invariant, f"{what} do not follow from the log", sorted(seen.keys() - wanted.keys())),
        *violations(invariant, f"{what} differ from those of the log", unlike),
    ]


def _merged(replays, name):
    return {key: value for replay in replays for key, value in getattr(replay, name).items()}


def published(record, watch, alert, retrain):
    """Check I4 for watch, alert and retrain against a replay from offset 0."""
    findings = {key: plain_finding(event.data) for key, event in _merged(watch, "findings").items()}
    alerts = {key: plain_alert(one) for key, one in _merged(alert, "alerts").items()}
    decisions = _merged(retrain, "decisions")
    return [
        *_compare("findings of buckets", _data(record.watched), findings),
        *_compare("alert records", record.alerts, alerts),
        *_compare("retraining decisions", record.decisions, decisions),
        *_one_at_a_time(record),
    ]


def _one_at_a_time(record):
    """Check that no condition has two alerts at a time: an alert opens only after the previous alert was resolved."""
    firing = {}
    resolved = {identity for (identity, _), one in record.alerts.items() if one.state == "resolved"}
    for (identity, revision), one in record.alerts.items():
        if revision == 0 and identity not in resolved:
            condition = (one.tenant, one.model, one.side, one.detector, one.feature if one.tenant == "_weir" else "")
            firing.setdefault(condition, []).append(identity)
    # Alerts are in log order, not in time order: a late event may be older than the end of the previous alert.
    doubled = sorted(identity for found in firing.values() for identity in found[1:])
    return violations("I4", "alerts fire while another alert of the same condition fires", doubled)


def states(record, watch, alert):
    """Check I3: each table contains the states of a replay from offset 0."""
    kept = {key: values[-1][2] for key, values in record.changelog["streams"].items()}
    streams = {key: value and decode_stream(value) for key, value in kept.items() if not key.startswith("\0")}
    wanted = _merged(alert, "states")
    last = {key: values[-1][2] for key, values in record.changelog["alerts"].items()}
    alerts = {key: plain_alerts(alert_state.decode(value)) for key, value in last.items() if value}
    return [
        *_compare("streams", streams, _merged(watch, "states"), "I3"),
        *_compare("alert states", alerts, wanted, "I3"),
        *[found for number, replay in enumerate(watch) for found in _sources(number, replay, kept)],
    ]


def _sources(number, replay, kept):
    value = kept.get(sources_key(number))
    live = {name for lane in decode_sources(value).lanes for name in lane.sources} if value else set()
    if live == replay.live():
        return []
    return [f"I3: signals partition {number} keeps sources {sorted(live)}, a replay from zero {sorted(replay.live())}"]
