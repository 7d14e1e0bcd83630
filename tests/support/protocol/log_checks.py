"""The log of a world at rest: nothing lost, nothing twice, nothing unsettled (I1, I2, I6, the ledger)."""

from collections import Counter
from typing import Any

import msgspec

from stream.ledger.database_files import LedgerFiles
from stream.ledger.store import LedgerStore
from stream.wire import RequestRecord, ResponseRecord, Signal, Verdict, partition_for
from support.protocol.oracle import text_of
from support.protocol.parts import KAFKA
from support.protocol.record import essence
from support.protocol.rest import Rest, finding_of, findings, same_in_copies, told
_NAMES = KAFKA.names
_HEADER = "__weir.errors."


def numbers(rest: Rest) -> str:
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


def order(rest: Rest) -> str:
    """The records of a source in a partition are in the order of their numbers."""
    newest: dict[tuple[str, int], int] = {}
    for event in rest.inference.events.values():
        data: Any = event.data
        place = (event.source, partition_for(event.partitionkey, KAFKA.partitions))
        if data.number <= newest.get(place, 0):
            return f"{place}: number {data.number} is written after {newest[place]}"
        newest[place] = data.number
    return ""


def requests(rest: Rest) -> str:
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
    return told(lost=lost, endless=endless, wrong=wrong, unknown=sorted(unknown))


def copies(rest: Rest) -> str:
    """Whatever was written twice under one id says the same both times."""
    for topic in (_NAMES.inference, _NAMES.verdicts, _NAMES.signals, _NAMES.findings, _NAMES.alerts):
        first: dict[tuple[str, str], tuple[object, ...]] = {}
        for event in rest.record.events(topic):
            if event.type.startswith("weir.tick"):
                continue
            said = same_in_copies(essence(event))
            if first.setdefault((event.source, event.id), said) != said:
                return f"{topic}: {event.id} says two things: {first[event.source, event.id]} and {said}"
    return ""


def balance(rest: Rest) -> str:
    balance = rest.world.balance.read()
    delivered, shed = len(rest.inference.events), sum(gap.count for gap in rest.inference.gaps.values())
    if (balance.delivered, balance.spooled, balance.shed) != (delivered, 0, shed):
        return f"the log holds {delivered} and {shed} in gaps, the spools say {balance}"
    return ""


def verdicts(rest: Rest) -> str:
    """Every pair that is owed has its verdict, and every event its signal and findings."""
    owed = rest.inference.owed()
    found: dict[tuple[str, str], str] = {}
    for event in rest.record.events(_NAMES.verdicts):
        if isinstance(event.data, Verdict):
            found[event.data.event_id, event.data.detector] = event.data.label
    signals = {event.id for event in rest.record.events(_NAMES.signals) if isinstance(event.data, Signal)}
    single = {event.id for event in findings(rest) if finding_of(event).bucket is None}
    return told(
        verdicts=sorted(pair for pair in owed.keys() | found.keys() if owed.get(pair) != found.get(pair)),
        signals=sorted(signals ^ {f"{name}/signal" for name in rest.inference.events}),
        findings=sorted(single ^ rest.inference.findings()),
    )


def dead_letters(rest: Rest) -> str:
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
    return told(missing=sorted(expected - found), unexpected=sorted(found - expected))


def ledger(rest: Rest) -> str:
    """The ledger counts what the log holds, and misses nothing."""
    book = LedgerStore(LedgerFiles(rest.world.parts.ledger), _NAMES, KAFKA.partitions, float("inf"))
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
    raised = [
        event.id for event in rest.record.events(_NAMES.alerts) if getattr(event.data, "detector", "") == "coverage"
    ]
    return f"a gap was told that there is none: {raised}" if raised else ""
