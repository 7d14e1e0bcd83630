"""I1, I2, I6: everything that was accepted is on the record or in a gap record, once; what cannot be read is a dead letter."""

from collections import defaultdict

from chaos.checks.told import some
from chaos.journals import Journals
from chaos.record import Record
from serving.capture.balance import Balance
from stream.wire import ABORTED_TYPE, RequestRecord

__all__ = ["accounted", "balanced", "lettered", "numbered"]


def accounted(record: Record, journals: Journals, planted: set[str]) -> list[str]:
    """I1 by the sources' journals."""
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
        *some("I1", "accepted ids are neither on the record nor in a gap record", lost[unnamed:]),
        *some("I1", "requests have no end", endless[unnamed:]),
        *some(
            "I1",
            "requests have an end that was recorded, and are on the record as aborted",
            sorted(aborted & journals.ended),
        ),
        *some("I1", "ids are on the record under two sources", twice),
        *some("I1", "refused requests are on the record", sorted(journals.refused & requests.keys())),
        *some("I1", "ids came again and said something else", record.unlike),
    ]


def numbered(record: Record, planted: set[str]) -> list[str]:
    """I1 by the numbers: those of a source run from 1 to the last one, each once."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for (source, _), seen in record.inference.items():
        if seen.event.data.request_id not in planted:
            numbers[source].append(seen.event.data.number)
    for (source, _), gap in record.gaps.items():
        numbers[source] += range(gap.first_number, gap.last_number + 1)
    wrong = sorted(source for source, found in numbers.items() if sorted(found) != list(range(1, len(found) + 1)))
    return some("I1", "sources have numbers that are missing or doubled", wrong)


def balanced(record: Record, balance: Balance, planted: set[str]) -> list[str]:
    """I2, and that what it says is what lies on the topic."""
    written = sum(seen.event.data.request_id not in planted for seen in record.inference.values())
    gaps = sum(gap.count for gap in record.gaps.values())
    said = f"accepted {balance.accepted}, delivered {balance.delivered}, spooled {balance.spooled}, shed {balance.shed}"
    found = []
    if balance.accepted != balance.delivered + balance.spooled + balance.shed:
        found.append(f"I2: {said}: no balance")
    if not balance.spooled and (balance.delivered, balance.shed) != (written, gaps):
        found.append(f"I2: {said}; on the record are {written}, and {gaps} in gap records")
    return found


def lettered(record: Record, topic: str) -> list[str]:
    """I6: every record of `topic` that is no event has a dead letter, and nothing else has."""
    wanted = {(topic, partition, offset) for partition, offset in record.unreadable}
    have = {origin for origin in record.letters if origin[0] == topic}
    return [
        *some("I6", "unreadable records have no dead letter", sorted(wanted - have)),
        *some("I6", "dead letters are of records that can be read", sorted(have - wanted)),
    ]
