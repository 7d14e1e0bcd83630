"""What watch and alert cost with more and more tenants: a tick, an event, a closed bucket, memory."""

import gc
import time
import tracemalloc

from support.alert_log import Alerts
from support.signal_log import finding_of, rules, score_tick, signal_event, watch_tick

from stream.stages.watch.machine import PartitionWatch
from stream.stages.watch_app import stream_detectors

TENANTS = (10, 100, 1_000, 10_000)
START = 999_990.0  # a bucket begins here
SECONDS = 30
SIDES = ("input", "output")
_FEATURES = {"characters": 40.0, "words": 8.0, "latency_seconds": 0.3, "completion_tokens": 12.0}


def rows():
    for tenants in TENANTS:
        yield {"tenants": tenants, **_watch(tenants), **_alert(tenants)}


def _watch(tenants):
    table = {}
    machine = PartitionWatch(rules(1, {"*": {"bucket_seconds": SECONDS}}, detectors=stream_detectors), stored=table.get)
    _tick(machine, table, 0)
    open_bytes = _opened(machine, tenants)
    began = time.perf_counter()
    for number in range(tenants):
        for side in SIDES:
            machine.offer(_signal(number, side, 2.0), None)
    event = (time.perf_counter() - began) / (2 * tenants)
    busy = _timed(lambda second: _tick(machine, table, second), range(1, SECONDS))
    began = time.perf_counter()
    _tick(machine, table, SECONDS)
    close = (time.perf_counter() - began) / (2 * tenants)
    for second in range(SECONDS + 1, 5 * SECONDS):
        _tick(machine, table, second)
    assert machine.streams_in_memory == 0
    idle = _timed(lambda second: _tick(machine, table, second), range(5 * SECONDS, 6 * SECONDS))
    machine.offer(_signal(0, "input", 6 * SECONDS + 1.0), None)
    one = _timed(lambda second: _tick(machine, table, second), range(6 * SECONDS, 6 * SECONDS + 20))
    return {
        "µs a tick, all idle": 1e6 * idle,
        "one active": 1e6 * one,
        "all active": 1e6 * busy,
        "µs an event": 1e6 * event,
        "µs to close a stream's bucket": 1e6 * close,
        "KiB an active stream": open_bytes / 1024,
        "KiB an idle one": sum(map(len, table.values())) / len(table) / 1024,
    }


def _opened(machine, tenants):
    """Return the bytes of a stream with its first event."""
    gc.collect()
    tracemalloc.start()
    for number in range(tenants):
        for side in SIDES:
            machine.offer(_signal(number, side, 1.0), None)
    found = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return found / (2 * tenants)


def _tick(machine, table, second):
    if machine.tick(score_tick(0, {"a": START + second}).data):
        for closed in machine.closed():
            table[closed.key] = closed.state


def _signal(number, side, second):
    return signal_event(f"r{number}-{second}", START + second, tenant=f"t{number}", side=side, features=_FEATURES)


def _alert(tenants):
    """A tick of the alert stage with an alert firing for every tenant, nothing due."""
    alerts = Alerts()
    for number in range(tenants):
        alerts.apply(finding_of(f"r{number}", START, "pii", tenant=f"t{number}"), number)
    cost = _timed(lambda second: alerts.apply(watch_tick(START + second), tenants + second), range(1, 30))
    return {"µs an alert tick, all firing": 1e6 * cost}


def _timed(work, steps):
    began = time.perf_counter()
    for step in steps:
        work(step)
    return (time.perf_counter() - began) / len(steps)
