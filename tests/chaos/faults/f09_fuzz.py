"""F9: fuzzed records on inference: flipped bits, truncation, wrong schema, null, nothing, up to 5 MB."""

import random
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from chaos.engine import DETECTORS
from chaos.options import WorldOptions
from chaos.strike import Fault, Lab, Strike
from chaos.traffic import MODEL
from stream.wire import Event, Message, Record, RequestRecord, ResponseRecord, WireError, canonical_time, decode, encode

__all__ = ["Fuzz"]

_RECORDS = 150
_LARGE = 5_000_000
Fuzzed = tuple[bytes | None, list[tuple[str, bytes]]]


class Fuzz(Fault):
    """150 records a strike, among ordinary ones; what can still be read is scored, the rest are dead letters."""

    key: ClassVar[str] = "F9"
    what: ClassVar[str] = "150 fuzzed records a strike: flipped bits, truncated, wrong schema, null, up to 5 MB"
    mutation: ClassVar[str] = "letters-thrown-away"
    breaks: ClassVar[tuple[str, ...]] = ("I6",)
    options: ClassVar[WorldOptions] = WorldOptions(max_message_bytes=8 * 1024 * 1024)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Put them on the partitions, one after the other."""
        world, topic = lab.world, lab.world.names.inference
        fuzzed = list(_records(chance, f"{strike.seed}-{strike.number}"))
        lab.oracle.planted |= {name for one in fuzzed if (name := _readable(one))}
        unreadable = sum(_readable(one) is None for one in fuzzed)
        strike.how = f"{len(fuzzed)} records, {unreadable} of them unreadable"
        strike.bit = strike.how if unreadable else ""
        world.look.produce(
            (topic, number % world.kafka.partitions, b"fuzz", value, headers)
            for number, (value, headers) in enumerate(fuzzed)
        )

    def settled(self, lab: Lab) -> list[str]:
        """No process may have died of it."""
        died = [f"{death.name} ({death.status})" for death in lab.world.deaths if not death.ours]
        return [f"F9: {', '.join(died)} died"] if died else []


def _records(chance: random.Random, name: str) -> Iterator[Fuzzed]:
    for number in range(_RECORDS):
        record = encode(_event(f"fuzz-{name}-{number}", chance))
        yield chance.choice((_flipped, _truncated, _wrong, _odd_headers))(record, chance)
    yield None, []
    yield b"", list(encode(_event(f"fuzz-{name}-empty", chance)).headers)
    yield chance.randbytes(_LARGE), []
    deep = b'{"request_id":' + b"[" * 100_000
    yield deep, list(encode(_event(f"fuzz-{name}-deep", chance)).headers)


def _event(name: str, chance: random.Random) -> Event:
    data = RequestRecord(
        request_id=name,
        tenant="fuzz",
        model=MODEL,
        messages=(Message(role="user", content=f"about {chance.randrange(10**6)} in words"),),
        owed=DETECTORS,
    )
    # Its time is left whole: one that is far ahead opens a bucket that stays open, which is F13's matter.
    at = canonical_time(time.time())
    return Event(id=f"{name}/request", source="fuzz", type=data.event_type, time=at, data=data, partitionkey="fuzz")


def _flipped(record: Record, chance: random.Random) -> Fuzzed:
    value = bytearray(record.value)
    for _ in range(chance.randint(1, 4)):
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
    return bytes(value), list(record.headers)


def _truncated(record: Record, chance: random.Random) -> Fuzzed:
    return record.value[: chance.randrange(len(record.value))], list(record.headers)


def _wrong(record: Record, chance: random.Random) -> Fuzzed:
    other: Any = chance.choice(({"tenant": 3}, [], "text", {"request_id": None}, {"messages": {"a": 1}}, 12))
    return msgspec.json.encode(other), list(record.headers)


def _odd_headers(record: Record, chance: random.Random) -> Fuzzed:
    headers = [(name, value) for name, value in record.headers if name != "ce_time" or chance.random() < 0.5]
    place = chance.randrange(len(headers))
    if headers[place][0] != "ce_time":
        headers[place] = (headers[place][0], bytes(byte ^ 0x80 for byte in headers[place][1]))
    return record.value, headers


def _readable(fuzzed: Fuzzed) -> str | None:
    """Return the request id of what can still be read; None where it cannot."""
    try:
        event = decode(*fuzzed)
    except WireError:
        return None
    assert isinstance(event.data, RequestRecord | ResponseRecord)
    return event.data.request_id
