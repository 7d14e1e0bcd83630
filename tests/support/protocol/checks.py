"""The invariants of a world that has come to rest: what its log and tables must hold."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from stream.alerting.state import decode as decode_alerts
from stream.ledger.book import Book
from stream.ledger.files import LedgerFiles
from stream.retraining.state import decode as decode_model
from stream.watch.state import decode_stream
from stream.wire import (
    AlertRecord,
    FindingRecord,
    RequestRecord,
    ResponseRecord,
    RetrainingRecord,
    Signal,
    Verdict,
    partition_for,
)
from support.protocol.oracle import Alerts, Inference, Watched, bucket_findings, opened, text_of
from support.protocol.parts import COOL_DOWN_SECONDS, KAFKA
from support.protocol.record import Record, essence
from support.protocol.world import World

__all__ = ["CHECKS", "check_balance", "check_rest", "check_watch"]

_NAMES = KAFKA.names
_HEADER = "__weir.errors."


class Rest:
    """A world at rest."""

    def __init__(self, world: World, record: Record) -> None:
        self.world = world
        self.record = record
        self.inference = Inference(record)
        self.watched = Watched(record)


def check_balance(world: World) -> None:
    """I2, at any instant."""
    balance, accepted = world.balance.read(), world.accepted
    if min(balance.delivered, balance.spooled, balance.shed) < 0:
        world.violated("I2", f"a figure below zero: {balance}")
    if not accepted.numbers <= balance.accepted <= accepted.numbers + accepted.perhaps:
        world.violated("I2", f"{accepted.numbers} (+{accepted.perhaps}) were accepted, the spools say {balance}")


def _i1_numbers(rest: Rest) -> str:
    """Every number of a source is in the record or in a gap, and in one of them."""
    numbers: dict[str, Counter[int]] = {}
    for event in rest.inference.events.values():
        data: Any = event.data
        numbers.setdefault(event.source, Counter())[data.number] += 1
    for gap in rest.inference.gaps.values():
        numbers.setdefault(gap.source, Counter()).update(range(gap.first_number, gap.last_number + 1))
    for source, counted in numbers.items():
        if dict(counted) != dict.fromkeys(range(1, len(counted) + 1), 1):
            return f"{source}: {sorted(number for number, times in counted.items() if times > 1)} twice, or a hole"
    return ""


def _i1_requests(rest: Rest) -> str:
    """Every accepted request is in the record or in a gap, with its end as it was told; nothing else is."""
    accepted, events = rest.world.accepted, rest.inference.events
    shed = {name for gap in rest.inference.gaps.values() for name in gap.request_ids}
    lost = [name for name in accepted.requests if f"{name}/request" not in events and name not in shed]
    endless = [name for name in accepted.requests if f"{name}/end" not in events and name not in shed]
    wrong = [
        name
        for name, status in accepted.ends.items()
        if f"{name}/end" in events and getattr(events[f"{name}/end"].data, "status", "") != status
    ]
    unknown = {event.data.request_id for event in events.values()} - accepted.requests.keys() - accepted.cut  # type: ignore[attr-defined]
    return _told(lost=lost, endless=endless, wrong=wrong, unknown=sorted(unknown))


def _copies(rest: Rest) -> str:
    """Whatever was written twice under one id says the same both times."""
    for topic in (_NAMES.inference, _NAMES.verdicts, _NAMES.signals, _NAMES.findings, _NAMES.alerts):
        first: dict[tuple[str, str], tuple[object, ...]] = {}
        for event in rest.record.events(topic):
            if event.type.startswith("weir.tick"):
                continue
            said = _plain(essence(event))
            if first.setdefault((event.source, event.id), said) != said:
                return f"{topic}: {event.id} says two things: {first[event.source, event.id]} and {said}"
    return ""


def _i2(rest: Rest) -> str:
    balance = rest.world.balance.read()
    delivered, shed = len(rest.inference.events), sum(gap.count for gap in rest.inference.gaps.values())
    if (balance.delivered, balance.spooled, balance.shed) != (delivered, 0, shed):
        return f"the log holds {delivered} and {shed} in gaps, the spools say {balance}"
    return ""


def _verdicts(rest: Rest) -> str:
    """Every pair that is owed has its verdict, and every event its signal and findings."""
    owed = rest.inference.owed()
    found: dict[tuple[str, str], str] = {}
    for event in rest.record.events(_NAMES.verdicts):
        if isinstance(event.data, Verdict):
            found[event.data.event_id, event.data.detector] = event.data.label
    signals = {event.id for event in rest.record.events(_NAMES.signals) if isinstance(event.data, Signal)}
    single = {event.id for event in _findings(rest) if _data(event).bucket is None}
    return _told(
        verdicts=sorted(pair for pair in owed.keys() | found.keys() if owed.get(pair) != found.get(pair)),
        signals=sorted(signals ^ {f"{name}/signal" for name in rest.inference.events}),
        findings=sorted(single ^ rest.inference.findings()),
    )


def _i3_findings(rest: Rest) -> str:
    """Findings of buckets are those of one pass from zero; where nothing was late, those of a sorted pass too."""
    published = {event.id: _data(event) for event in _findings(rest) if _data(event).bucket is not None}
    expected = rest.watched.findings
    differing = [
        name for name in published.keys() | expected.keys() if _untraced(published.get(name)) != _untraced(expected.get(name))
    ]
    if differing:
        name = sorted(differing)[0]
        return f"{len(differing)} findings differ; {name}: {published.get(name)}, from zero {expected.get(name)}"
    if rest.watched.late:
        return ""
    signals = [event for event in rest.record.events(_NAMES.signals) if isinstance(event.data, Signal)]
    plain = {name: (one.statistic, one.details) for name, one in published.items() if one.detector == "drift"}
    return "" if plain == bucket_findings(signals) else "findings differ from a sorted pass over all signals"


def _i3_states(rest: Rest) -> str:
    """Tables hold what one pass from zero comes to; in the changelog, and in the memory of whoever lives."""
    expected = {key: decode_stream(value) for key, value in rest.watched.states.items()}
    for where, rows in _tables(rest, "streams"):
        states = {key.decode(): decode_stream(value) for key, value in rows.items() if not key.startswith(b"\0")}
        if states != expected:
            key = sorted(key for key in states.keys() | expected.keys() if states.get(key) != expected.get(key))[0]
            return f"{where}, stream {key!r}: {states.get(key)}, from zero {expected.get(key)}"
    return ""


def _i4(rest: Rest) -> str:
    """Alerts are those of one pass over the findings, none under two ids; those of single events are a plain pass's too."""
    alerts = Alerts(rest.record)
    own = ("coverage", "lag")
    published = {
        event.id: event
        for event in rest.record.events(_NAMES.alerts)
        if isinstance(event.data, AlertRecord) and event.data.detector not in own
    }
    differing = [
        name
        for name in published.keys() | alerts.records.keys()
        if _alert(published.get(name)) != _alert(alerts.records.get(name))
    ]
    if differing:
        name = sorted(differing)[0]
        return f"{len(differing)} records differ; {name}: {published.get(name)}, from zero {alerts.records.get(name)}"
    singles = {_alert_of(event).alert_id for event in published.values() if _alert_of(event).detector in {"pii", "toxicity"}}
    plain = dict(opened(rest.record))
    ended = {_alert_of(event).alert_id: _alert_of(event) for event in published.values() if _alert_of(event).resolved_at}
    for alert_id, alert in ended.items():
        if alert_id in plain and alert.evidence_total != plain[alert_id]:
            return f"alert {alert_id} ended with {alert.evidence_total} findings, {plain[alert_id]} in a plain pass"
    if singles != plain.keys():
        return f"alerts {sorted(singles ^ plain.keys())} are on one side alone"
    return _alert_states(rest, alerts)


def _alert_states(rest: Rest, alerts: Alerts) -> str:
    for where, rows in _tables(rest, "alerts"):
        for key, value in rows.items():
            state, expected = decode_alerts(value), alerts.states[key.decode()]
            if _firing(state) != _firing(expected):
                return f"{where}, alerts of {key!r}: {_firing(state)}, from zero {_firing(expected)}"
    return ""


def _firing(state: Any) -> dict[str, Any]:
    return {name: msgspec.to_builtins(one) for name, one in state.detectors.items() if one.alert is not None}


def _i6(rest: Rest) -> str:
    """Dead letters are what could not be read or scored, and nothing else."""
    expected = set()
    for topic in (_NAMES.inference, _NAMES.signals, _NAMES.findings, _NAMES.alerts, _NAMES.retraining):
        for read in rest.record.topic(topic):
            data = read.event.data if read.event is not None else None
            failed = isinstance(data, RequestRecord | ResponseRecord) and "RAISE" in text_of(read.event)  # type: ignore[arg-type]
            if failed or (read.event is None and read.stored.value is not None):
                expected.add((topic, read.stored.partition, read.stored.offset))
    found = set()
    for read in rest.record.topic(_NAMES.dead_letters):
        headers = {name.removeprefix(_HEADER): value.decode() for name, value in read.stored.headers}
        found.add((headers["topic"], int(headers["partition"]), int(headers["offset"])))
    return _told(missing=sorted(expected - found), unexpected=sorted(found - expected))


def _i9(rest: Rest) -> str:
    """At most one request for retraining in a cool-down, and the stage knows which alerts fire."""
    asked: dict[tuple[str, str], dict[str, float]] = {}
    for event in rest.record.events(_NAMES.retraining):
        if isinstance(event.data, RetrainingRecord) and event.data.state == "requested":
            asked.setdefault((event.data.tenant, event.data.model), {})[event.data.retraining_id] = event.data.at
    for model, requests in asked.items():
        times = sorted(requests.values())
        if any(after - before < COOL_DOWN_SECONDS for before, after in zip(times, times[1:], strict=False)):
            return f"{model}: requests at {times}"
    newest: dict[str, AlertRecord] = {}
    for event in rest.record.events(_NAMES.alerts):
        if isinstance(event.data, AlertRecord) and event.data.tenant != "_weir":
            known = newest.get(event.data.alert_id)
            newest[event.data.alert_id] = event.data if known is None or known.revision <= event.data.revision else known
    firing = {alert.alert_id for alert in newest.values() if alert.state == "firing"}
    for where, rows in _tables(rest, "retraining"):
        known_firing = {name for value in rows.values() for name in decode_model(value).firing}
        if not known_firing <= firing:
            return f"{where}: {sorted(known_firing - firing)} are thought to fire"
    return ""


def _ledger(rest: Rest) -> str:
    """The ledger counts what the log holds, and misses nothing."""
    book = Book(LedgerFiles(rest.world.parts.ledger), _NAMES, KAFKA.partitions, float("inf"))
    try:
        coverage = book.coverage()
    finally:
        book.close()
    owed = rest.inference.owed()
    data = [event.data for event in rest.inference.events.values()]
    expected = {
        "requests": sum(isinstance(one, RequestRecord) for one in data),
        "ends": sum(isinstance(one, ResponseRecord) for one in data),
        "gaps": sum(gap.count for gap in rest.inference.gaps.values()),
        "owed": len(owed),
        "settled": len(owed),
        "errors": sum(label == "error" for label in owed.values()),
        "missing": 0,
        "pending": 0,
    }
    found = msgspec.structs.asdict(coverage) | msgspec.structs.asdict(coverage.total)
    differing = {name: (found[name], value) for name, value in expected.items() if found[name] != value}
    if differing or coverage.total.ratio != 1.0:
        return f"(ledger, log): {differing}"
    raised = [event.id for event in rest.record.events(_NAMES.alerts) if getattr(event.data, "detector", "") == "coverage"]
    return f"a gap was told that there is none: {raised}" if raised else ""


#: What is checked, by the invariant that it belongs to.
CHECKS: dict[str, tuple[Callable[[Rest], str], ...]] = {
    "I1": (_i1_numbers, _i1_requests, _copies),
    "I2": (_i2,),
    "I3": (_i3_findings, _i3_states),
    "I4": (_verdicts, _i4),
    "I6": (_i6,),
    "I9": (_i9,),
    "ledger": (_ledger,),
}


def check_watch(world: World, record: Record) -> None:
    """Check what belongs to watch's stage alone."""
    rest = Rest(world, record)
    for check in (_i3_findings, _i3_states):
        if what := check(rest):
            world.violated("I3", what)


def check_rest(world: World, record: Record) -> None:
    """Check everything; the world has come to rest."""
    rest = Rest(world, record)
    for invariant, checks in CHECKS.items():
        for check in checks:
            if what := check(rest):
                world.violated(invariant, f"{check.__name__.strip('_')}: {what}")
                break


def _tables(rest: Rest, name: str) -> list[tuple[str, dict[bytes, bytes]]]:
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


def _findings(rest: Rest) -> list[Any]:
    return [event for event in rest.record.events(_NAMES.findings) if isinstance(event.data, FindingRecord)]


def _data(event: Any) -> FindingRecord:
    assert isinstance(event.data, FindingRecord)
    return event.data


def _alert_of(event: Any) -> AlertRecord:
    assert isinstance(event.data, AlertRecord)
    return event.data


def _alert(event: Any) -> Any:
    return None if event is None else msgspec.structs.replace(_alert_of(event), trace_id="")


def _untraced(finding: FindingRecord | None) -> Any:
    return None if finding is None else msgspec.structs.replace(finding, traces=())


def _plain(said: tuple[object, ...]) -> tuple[object, ...]:
    *head, data, key = said
    if isinstance(data, FindingRecord):
        data = _untraced(data)
    elif isinstance(data, AlertRecord):
        data = msgspec.structs.replace(data, trace_id="")
    return (*head, data, key)


def _told(**lists: list[Any]) -> str:
    return "; ".join(f"{name}: {items[:5]}{' …' if len(items) > 5 else ''}" for name, items in lists.items() if items)
