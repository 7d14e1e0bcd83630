"""What a tick costs with more and more sources (gateways), at each stage that keeps them apart."""

import time

from support.ledger_log import Log, forwarded, tick
from support.ledger_store import MemoryLedger
from support.source_liveness_log import rules as silence_rules

from stream.stages.score.ticks import merge_ticks
from stream.stages.watch.source_liveness import SourceLiveness
from stream.stages.watch.watermark import Watermark
from stream.wire import Tick, encode

SOURCES = (1, 10, 100, 1_000)
PARTITIONS = 8
_SECONDS = 20


def rows():
    for count in SOURCES:
        names = [f"gateway-{number:012x}" for number in range(count)]
        yield {
            "sources": count,
            "records/s of ticks on inference": count * PARTITIONS,
            "µs to merge a second's ticks (score)": 1e6 * _merge(names),
            "bytes of score's tick": len(encode(_scored(names, 0, 0.0)).value),
            "µs for the watermark (watch)": 1e6 * _watermark(names),
            "µs for silence (watch)": 1e6 * _silence(names),
            "µs of the ledger, a source and partition": 1e6 * _ledger(names),
        }


def _scored(names, partition, now):
    return forwarded(dict.fromkeys(names, 1000000.0 + now), partition=partition)


def _merge(names):
    events = [tick(1e6 + 1.0, source=name) for name in names]
    began = time.perf_counter()
    for offset in range(_SECONDS):
        merge_ticks(0, offset, events, "bench")
    return (time.perf_counter() - began) / _SECONDS


def _watermark(names):
    watermark = Watermark(PARTITIONS, 60.0)
    ticks = [_data(names, partition, second) for second in range(_SECONDS) for partition in range(PARTITIONS)]
    began = time.perf_counter()
    for one in ticks:
        watermark.apply(one)
        watermark.live()
    return (time.perf_counter() - began) / len(ticks)


def _silence(names):
    watch = SourceLiveness(silence_rules(PARTITIONS))
    ticks = [_data(names, partition, second) for second in range(_SECONDS) for partition in range(PARTITIONS)]
    began = time.perf_counter()
    for offset, one in enumerate(ticks):
        watch.apply(one, offset)
    return (time.perf_counter() - began) / len(ticks)


def _data(names, partition, second):
    data = _scored(names, partition, float(second)).data
    assert isinstance(data, Tick)
    return data


def _ledger(names):
    log = Log()
    with MemoryLedger(partitions=1) as ledger:
        records = [log.inference(*(tick(1e6 + second, source=name) for name in names)) for second in range(_SECONDS)]
        records += [log.verdicts(_scored(names, 0, float(second))) for second in range(_SECONDS)]
        began = time.perf_counter()
        for batch in records:
            ledger.apply(batch)
        return (time.perf_counter() - began) / (_SECONDS * len(names))
