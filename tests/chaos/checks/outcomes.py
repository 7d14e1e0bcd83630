"""I3, I4: what was published and kept is what the texts and the log give, no more and no less."""

from collections.abc import Sequence
from typing import Any

import msgspec

from chaos.checks.told import some
from chaos.engine import SPEC, Words
from chaos.record import Record, Seen, plain_alert, plain_finding
from chaos.replay import AlertReplay, RetrainReplay, WatchReplay, plain_alerts
from stream.stages.alert import state as alert_state
from stream.stages.score.machine import item_of, text_of, verdicts
from stream.stages.score.model_process import Item, ModelProcess
from stream.stages.score.records import finding_event, signal_event, verdict_event
from stream.stages.watch.state import decode_sources, decode_stream, sources_key
from stream.wire import Event, FindingRecord

__all__ = ["Outputs", "published", "states"]

_BATCH = 256


class Outputs:
    """What must come of the inference events, worked out from their texts.

    Attributes
    ----------
    verdicts, findings, signals
        Data by id.
    of
        By identity of an inference event: the ids of its verdicts, and of its signal.
    """

    def __init__(self) -> None:
        create = lambda name, _options=None: Words(name, wait=False)  # noqa: E731 - the lab's own, without their slowness
        self._engine = ModelProcess(msgspec.structs.replace(SPEC, create=create))
        self._engine.load()
        self.verdicts: dict[str, Any] = {}
        self.findings: dict[str, Any] = {}
        self.signals: dict[str, Any] = {}
        self.of: dict[tuple[str, str], tuple[list[str], str]] = {}

    def take(self, record: Record) -> None:
        """Work out what comes of the events that are new."""
        fresh = [(key, seen) for key, seen in record.inference.items() if key not in self.of]
        for start in range(0, len(fresh), _BATCH):
            batch = fresh[start : start + _BATCH]
            items = [_item(seen.event) for _, seen in batch]
            for (key, seen), scored in zip(batch, self._engine.score(items), strict=True):
                self._outputs(key, seen, scored)

    def _outputs(self, key: tuple[str, str], seen: Seen, scored: Any) -> None:
        event, ids = seen.event, []
        for verdict in verdicts(event, scored, lambda _: "unknown"):
            ids.append(verdict_event(event, verdict, "").id)
            self.verdicts[ids[-1]] = verdict
            if (finding := finding_event(event, verdict, "")) is not None:
                assert isinstance(finding.data, FindingRecord)
                self.findings[finding.id] = plain_finding(finding.data)
        signal = signal_event(event, scored, "")
        self.signals[signal.id] = signal.data
        self.of[key] = (ids, signal.id)

    def compared(self, record: Record) -> list[str]:
        """I4 for score: verdicts, findings of single events, and signals."""
        return [
            *_compare("verdicts", _data(record.verdicts), self.verdicts),
            *_compare("signals", _data(record.signals), self.signals),
            *_compare("findings of single events", _data(record.found), self.findings),
        ]


def _item(event: Event) -> Item:
    data: Any = event.data
    return item_of(data, embed=bool(text_of(data)))


def _data(seen: dict[str, Seen]) -> dict[str, Any]:
    return {key: one.event.data for key, one in seen.items()}


def _compare(what: str, seen: dict[Any, Any], wanted: dict[Any, Any]) -> list[str]:
    unlike = sorted(key for key in wanted.keys() & seen.keys() if seen[key] != wanted[key])
    return [
        *some("I4", f"{what} are missing", sorted(wanted.keys() - seen.keys())),
        *some("I4", f"{what} are of nothing that is on the log", sorted(seen.keys() - wanted.keys())),
        *some("I4", f"{what} are not what the log gives", unlike),
    ]


def published(
    record: Record, watch: Sequence[WatchReplay], alert: Sequence[AlertReplay], retrain: Sequence[RetrainReplay]
) -> list[str]:
    """I4 for watch, alert and retrain, against a replay from zero."""
    findings = {key: plain_finding(event.data) for replay in watch for key, event in replay.findings.items()}  # type: ignore[arg-type]
    alerts = {key: plain_alert(one) for replay in alert for key, one in replay.alerts.items()}
    decisions = {one for replay in retrain for one in replay.decisions}
    return [
        *_compare("findings of buckets", _data(record.watched), findings),
        *_compare("alert records", record.alerts, alerts),
        *some("I4", "retraining decisions are missing", sorted(decisions - record.decisions)),
        *some("I4", "retraining decisions are unknown to the replay", sorted(record.decisions - decisions)),
        *_one_at_a_time(record),
    ]


def _one_at_a_time(record: Record) -> list[str]:
    """No condition has two alerts at a time: one opens when the one before it has been resolved."""
    spans: dict[tuple[str, ...], list[tuple[float, float, str]]] = {}
    first = {identity: one for (identity, revision), one in record.alerts.items() if revision == 0}
    ends = {identity: one.at for (identity, _), one in record.alerts.items() if one.state == "resolved"}
    for identity, one in first.items():
        place = (one.tenant, one.model, one.side, one.detector, one.feature if one.tenant == "_weir" else "")
        spans.setdefault(place, []).append((one.opened_at, ends.get(identity, float("inf")), identity))
    doubled = []
    for found in spans.values():
        # The log's order, not the events' times, says which was first: an event that is late may be older than the last end.
        still = [identity for _, end, identity in found if end == float("inf")]
        doubled += still[1:]
    return some("I4", "alerts fire beside another of the same condition", sorted(doubled))


def states(record: Record, watch: Sequence[WatchReplay], alert: Sequence[AlertReplay]) -> list[str]:
    """I3: each table holds what a replay from zero has."""
    kept = {key: values[-1][2] for key, values in record.changelog["streams"].items()}
    wanted = {key: state for replay in watch for key, state in replay.states().items()}
    unlike = sorted(key for key, state in wanted.items() if key not in kept or decode_stream(kept[key]) != state)
    extra = sorted(key for key in kept if not key.startswith("\0") and key not in wanted)
    alerts = {key: values[-1][2] for key, values in record.changelog["alerts"].items()}
    rules = {key: state for replay in alert for key, state in replay.kept.items()}
    apart = sorted(
        key
        for key, state in rules.items()
        if key not in alerts or plain_alerts(alert_state.decode(alerts[key])) != state
    )
    return [
        *some("I3", "streams are not as a replay from zero has them", unlike),
        *some("I3", "streams are kept that a replay from zero has not", extra),
        *some("I3", "alert states are not as a replay from zero has them", apart),
        *[found for number, replay in enumerate(watch) for found in _sources(number, replay, kept)],
    ]


def _sources(number: int, replay: WatchReplay, kept: dict[str, bytes]) -> list[str]:
    value = kept.get(sources_key(number))
    live = set(decode_sources(value).sources) if value else set()
    if live == replay.live():
        return []
    return [f"I3: signals partition {number} keeps sources {sorted(live)}, a replay from zero {sorted(replay.live())}"]
