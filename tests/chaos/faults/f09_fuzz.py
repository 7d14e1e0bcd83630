"""F9: fuzzed records on inference: flipped bits, truncated, wrong schema, null, empty, up to 5 MB."""

import time

import msgspec

from chaos.engine import DETECTORS
from chaos.options import WorldOptions
from chaos.strike import Fault
from chaos.traffic import MODEL
from stream.wire import Event, Message, RequestRecord, WireError, canonical_time, decode, encode

_RECORDS = 150
_LARGE = 5_000_000


class Fuzz(Fault):
    """Writes 150 fuzzed records per strike among ordinary records. Readable records are scored, the others get dead letters."""

    key = "F9"
    what = "150 fuzzed records a strike: flipped bits, truncated, wrong schema, null, up to 5 MB"
    mutation = "letters-thrown-away"
    breaks = ("I6",)
    deaths_allowed = False
    options = WorldOptions(max_message_bytes=8 * 1024 * 1024)

    def strike(self, lab, chance, strike):
        """Write the fuzzed records to the partitions in turn."""
        world, topic = lab.world, lab.world.names.inference
        fuzzed = list(_records(chance, f"{strike.seed}-{strike.number}"))
        readable = [name for record in fuzzed if (name := _readable(record))]
        lab.oracle.planted |= set(readable)
        unreadable = len(fuzzed) - len(readable)
        strike.how = f"{len(fuzzed)} records, {unreadable} of them unreadable"
        strike.effect = strike.how if unreadable else ""
        world.look.produce(
            (topic, number % world.kafka.partitions, b"fuzz", value, headers)
            for number, (value, headers) in enumerate(fuzzed)
        )


def _records(chance, name):
    for number in range(_RECORDS):
        record = encode(fuzz_event(f"fuzz-{name}-{number}", chance))
        yield chance.choice((_flipped, _truncated, _wrong, _odd_headers))(record, chance)
    yield None, []
    yield b"", list(encode(fuzz_event(f"fuzz-{name}-empty", chance)).headers)
    yield chance.randbytes(_LARGE), []
    record = encode(fuzz_event(f"fuzz-{name}-deep", chance))
    yield nested(record, 100_000), list(record.headers)


def nested(record, depth):
    """Return the value of `record`, which is valid, with an unknown field of `depth` arrays before its other fields."""
    return b'{"new":' + b"[" * depth + b"]" * depth + b"," + record.value[1:]


def fuzz_event(name, chance):
    """Return a request."""
    data = RequestRecord(
        request_id=name,
        tenant="fuzz",
        model=MODEL,
        messages=(Message.of_text("user", f"about {chance.randrange(10**6)} in words"),),
        owed=DETECTORS,
    )
    # The time stays valid: a time far ahead would open a bucket that stays open. F13 tests such times.
    at = canonical_time(time.time())
    return Event(id=f"{name}/request", source="fuzz", type=data.event_type, time=at, data=data, partitionkey="fuzz")


def _flipped(record, chance):
    value = bytearray(record.value)
    for _ in range(chance.randint(1, 4)):
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
    return bytes(value), list(record.headers)


def _truncated(record, chance):
    return record.value[: chance.randrange(len(record.value))], list(record.headers)


def _wrong(record, chance):
    other = chance.choice(({"tenant": 3}, [], "text", {"request_id": None}, {"messages": {"a": 1}}, 12))
    return msgspec.json.encode(other), list(record.headers)


def _odd_headers(record, chance):
    headers = [(name, value) for name, value in record.headers if name != "ce_time" or chance.random() < 0.5]
    place = chance.randrange(len(headers))
    if headers[place][0] != "ce_time":
        headers[place] = (headers[place][0], bytes(byte ^ 0x80 for byte in headers[place][1]))
    return record.value, headers


def _readable(fuzzed):
    """Return the request id of a record, or None if it cannot be read."""
    try:
        return decode(*fuzzed).data.request_id
    except WireError:
        return None
