"""Check that no record in the log of a world at rest is lost, counted twice or unfinished (I1, I2, I4, I6, the ledger)."""

from collections import Counter

import msgspec

from stream.dead_letters import HEADER_PREFIX
from stream.ledger.database_files import LedgerFiles
from stream.ledger.store import LedgerStore
from stream.wire import AlertRecord, FindingRecord, RequestRecord, ResponseRecord, Signal, Verdict, partition_for
from support.protocol.parts import KAFKA
from support.protocol.rest import describe, untraced

_NAMES = KAFKA.names


def numbers(rest):
    """Check that every number of a source is in exactly one record or gap."""
    numbers = {}
    for event in rest.inference.events.values():
        numbers.setdefault(event.source, Counter())[event.data.number] += 1
    for gap in rest.inference.gaps.values():
        numbers.setdefault(gap.source, Counter()).update(range(gap.first_number, gap.last_number + 1))
    for source, counted in numbers.items():
        if dict(counted) != dict.fromkeys(range(1, len(counted) + 1), 1):
            return f"{source}: {sorted(number for number, times in counted.items() if times > 1)} twice, or a hole"
    return ""


def order(rest):
    """Check that the records of a source in a partition are in the order of their numbers."""
    newest = {}
    for event in rest.inference.events.values():
        place, number = (event.source, partition_for(event.partitionkey, KAFKA.partitions)), event.data.number
        if number <= newest.get(place, 0):
            return f"{place}: number {number} is written after {newest[place]}"
        newest[place] = number
    return ""


def requests(rest):
    """Check that the log has every accepted request, with its end or in a gap, and no other request."""
    accepted, events = rest.world.accepted, rest.inference.events
    shed = {name for gap in rest.inference.gaps.values() for name in gap.request_ids}
    lost = [name for name in accepted.requests if f"{name}/request" not in events and name not in shed]
    endless = [name for name in accepted.requests if f"{name}/end" not in events and name not in shed]
    ends = {name: events.get(f"{name}/end") for name in accepted.ends}
    wrong = [name for name, event in ends.items() if event and event.data.status != accepted.ends[name]]
    unknown = {event.data.request_id for event in events.values()} - accepted.requests.keys() - accepted.cut
    return describe(lost=lost, endless=endless, wrong=wrong, unknown=sorted(unknown))


def copies(rest):
    """Check that all records with the same id and source have the same content, except traces."""
    for topic in (_NAMES.inference, _NAMES.verdicts, _NAMES.signals, _NAMES.findings, _NAMES.alerts):
        first = {}
        for event in rest.record.events(topic):
            said = (event.id, event.source, event.type, event.time, untraced(event.data), event.partitionkey)
            if not event.type.startswith("weir.tick") and first.setdefault(said[:2], said) != said:
                return f"{topic}: {event.id} has two contents: {first[said[:2]]} and {said}"
    return ""


def balance(rest):
    balance = rest.world.balance()
    delivered, shed = len(rest.inference.events), sum(gap.count for gap in rest.inference.gaps.values())
    if (balance.delivered, balance.spooled, balance.shed) != (delivered, 0, shed):
        return f"the log has {delivered} records and {shed} in gaps, the spools have {balance}"
    return ""


def verdicts(rest):
    """Check that each expected (event, detector) has its verdict, and each event its signal and findings."""
    owed, verdicts = rest.inference.owed(), rest.data(_NAMES.verdicts, Verdict).values()
    found = {(verdict.event_id, verdict.detector): verdict.label for verdict in verdicts}
    findings = rest.data(_NAMES.findings, FindingRecord)
    single = {name for name, finding in findings.items() if finding.bucket is None}
    signals = rest.data(_NAMES.signals, Signal).keys()
    return describe(
        verdicts=sorted(pair for pair in owed.keys() | found.keys() if owed.get(pair) != found.get(pair)),
        signals=sorted(signals ^ {f"{name}/signal" for name in rest.inference.events}),
        findings=sorted(single ^ rest.inference.findings()),
    )


def dead_letters(rest):
    """Check that exactly the records that could not be read or scored have dead letters."""
    expected = set()
    for topic in (_NAMES.inference, _NAMES.signals, _NAMES.findings, _NAMES.alerts, _NAMES.retraining):
        for read in rest.record.topic(topic):
            scored = read.event is not None and isinstance(read.event.data, RequestRecord | ResponseRecord)
            unread = read.event is None and read.stored.value is not None
            if unread or (scored and "RAISE" in read.event.data.text):
                expected.add((topic, read.stored.partition, read.stored.offset))
    found = {source_of(read.stored) for read in rest.record.topic(_NAMES.dead_letters)}
    return describe(missing=sorted(expected - found), unexpected=sorted(found - expected))


def source_of(dead_letter):
    """Return topic, partition and offset of the record that a dead letter copies."""
    headers = {name.removeprefix(HEADER_PREFIX): value.decode() for name, value in dead_letter.headers}
    return headers["topic"], int(headers["partition"]), int(headers["offset"])


def ledger(rest):
    """Check that the ledger's counts equal those of the log, that coverage is complete, and that no coverage alert exists."""
    book = LedgerStore(LedgerFiles(rest.world.parts.ledger_directory), _NAMES, KAFKA.partitions, float("inf"))
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
    alerts = rest.data(_NAMES.alerts, AlertRecord).items()
    return describe(alerts_without_a_gap=[name for name, alert in alerts if alert.detector == "coverage"])
