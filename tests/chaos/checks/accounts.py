"""Check I1, I2 and I6: each accepted request is on the log or in a gap record, once; each unreadable record has a dead letter."""

from collections import defaultdict

from chaos.checks.violations import violations
from stream.wire import ABORTED_TYPE, RequestRecord


def accounted(record, journals, planted):
    """Check I1 with the sources' journals."""
    requests, ends = defaultdict(set), defaultdict(set)
    for (source, _), seen in record.inference.items():
        kept = requests if isinstance(seen.event.data, RequestRecord) else ends
        kept[seen.event.data.request_id].add(source)
    shed = {name for gap in record.gaps.values() for name in gap.request_ids}
    unnamed = sum(gap.count - len(gap.request_ids) for gap in record.gaps.values())
    aborted = {seen.event.data.request_id for seen in record.inference.values() if seen.event.type == ABORTED_TYPE}
    lost = sorted(journals.accepted - requests.keys() - shed)
    endless = sorted(requests.keys() - ends.keys() - shed - planted)
    twice = sorted(name for kept in (requests, ends) for name, sources in kept.items() if len(sources) > 1)
    return [
        *violations("I1", "accepted ids are neither on the log nor in a gap record", lost[unnamed:]),
        *violations("I1", "requests have no end", endless[unnamed:]),
        *violations(
            "I1", "requests are aborted on the log, but their end was recorded", sorted(aborted & journals.ended)
        ),
        *violations("I1", "ids are on the log under two sources", twice),
        *violations("I1", "rejected requests are on the log", sorted(journals.refused & requests.keys())),
        *violations("I1", "ids have two contents", record.unlike),
    ]


def numbered(record, planted):
    """Check I1 with the numbers: each source has all numbers from 1 to its last number, each once."""
    numbers = defaultdict(list)
    for (source, _), seen in record.inference.items():
        if seen.event.data.request_id not in planted:
            numbers[source].append(seen.event.data.number)
    for (source, _), gap in record.gaps.items():
        numbers[source] += range(gap.first_number, gap.last_number + 1)
    wrong = sorted(source for source, found in numbers.items() if sorted(found) != list(range(1, len(found) + 1)))
    return violations("I1", "sources have missing or duplicate numbers", wrong)


def balanced(record, balance, planted):
    """Check I2: the balance adds up, and equals the records on the topic."""
    written = sum(seen.event.data.request_id not in planted for seen in record.inference.values())
    gaps = sum(gap.count for gap in record.gaps.values())
    found = []
    if balance.accepted != balance.delivered + balance.spooled + balance.shed:
        found.append(f"I2: {balance}: accepted is not delivered + spooled + shed")
    if not balance.spooled and (balance.delivered, balance.shed) != (written, gaps):
        found.append(f"I2: {balance}; on the log are {written}, and {gaps} in gap records")
    return found


def lettered(record, topic):
    """Check I6: every record of `topic` without an event has a dead letter, and no other record has one."""
    wanted = {(topic, partition, offset) for partition, offset in record.unreadable}
    have = {origin for origin in record.letters if origin[0] == topic}
    return [
        *violations("I6", "unreadable records have no dead letter", sorted(wanted - have)),
        *violations("I6", "readable records have a dead letter", sorted(have - wanted)),
    ]
