"""Events that delivery reads, of the model ``m`` of the tenant ``acme``, and functions that send them to Kafka."""

from itertools import chain

from stream.wire import (
    Event,
    RetrainingRecord,
    Signal,
    Tick,
    Verdict,
    inference_key,
    partition_for,
    stream_key,
    tenant_model_key,
)

M1 = "m_111111111111"
KEY = tenant_model_key("acme", "m")
START = 1_700_000_000.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GATE = f"00-{TRACE}-00f067aa0ba902b7-01"
PARTITIONS = 2
TEXT = {"characters": 5.0, "completion_tokens": 2.0}


def blessed(version=M1, identity="rt_1", tenant="acme"):
    record = RetrainingRecord(
        retraining_id=identity, state="blessed", reason="", tenant=tenant, model="m", at=START, model_version=version
    )
    return _event(f"{identity}/blessed", START, record, tenant_model_key(tenant, "m"), traceparent=GATE)


def verdict(number, version, *, flagged=False, label="ok", side="output"):
    name = f"{number}/{version}"
    data = Verdict(
        request_id=name, event_id=f"{name}/end", tenant="acme", model="m", side=side, detector="repetition",
        version="1", flagged=flagged, label=label, score=float(flagged), model_version=version,
    )  # fmt: skip
    return _event(f"vd_{name}", START + number, data, inference_key("acme", name))


def end(number, version=M1, status="complete", features=TEXT, side="output"):
    """Return the signal of the end of a request."""
    name = f"{number}/{version}"
    data = Signal(
        request_id=name, event_id=f"{name}/end", tenant="acme", model="m", side=side, time=START + number,
        model_version=version, status=status, features=features,
    )  # fmt: skip
    return _event(f"{name}/end/signal", data.time, data, stream_key("acme", "m", side, "", version))


def ticks(at):
    """Return score's ticks of all partitions of inference."""
    data = [Tick(stage="score", partition=number, sources={"s": START + at}) for number in range(PARTITIONS)]
    return [_event(f"score/{one.partition}/{at}", START + at, one, "") for one in data]


def _event(identity, at, data, key, **more):
    return Event(id=identity, source="test", type=data.event_type, time=at, data=data, partitionkey=key, **more)


async def bless(kafka, to, *records):
    for record in records or [blessed()]:
        await to.send(kafka.names.retraining, record, partition=partition_for(KEY, kafka.stream_partitions))


async def answers(kafka, to, first, last, *, flagged=True):
    """Send verdicts on both versions (`flagged` for the challenger M1), and the ticks after them."""
    both = [(verdict(number, M1, flagged=flagged), verdict(number, "b1")) for number in range(first, last)]
    await to.spread(kafka.names.verdicts, chain(*both), lambda event: partition_for(event.partitionkey, PARTITIONS))
    for tick in ticks(last):
        await to.send(kafka.names.verdicts, tick, partition=tick.data.partition)
        for partition in range(kafka.stream_partitions):
            await to.send(kafka.names.signals, tick, partition=partition)


async def ends(kafka, to, first, last, *, status):
    """Send ends of requests to both versions; the ends of the challenger (M1) have `status` and no text."""
    both = [(end(number, status=status, features={}), end(number, "b1")) for number in range(first, last)]
    count = kafka.stream_partitions
    await to.spread(kafka.names.signals, chain(*both), lambda event: partition_for(event.partitionkey, count))
