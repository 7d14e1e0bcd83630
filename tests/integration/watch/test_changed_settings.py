"""A worker that starts with other options of a stream detector rebuilds its state from the log once. Nothing else changes."""

import pytest
from support.demo_log import START
from support.signal_log import finding_of, score_tick, signal_event
from support.stage_lab import P, Q
from support.watch_lab import WatchLab

from stream.wire import partition_for

pytestmark = pytest.mark.kafka
BEFORE = {"*": {"bucket_seconds": 5}}
AFTER = {"*": {"bucket_seconds": 5, "drift": {"reference_events": 50}}}
REBUILT = "is rebuilt from the log"


@pytest.fixture
async def lab(embedded_broker, tmp_path) -> WatchLab:
    return await WatchLab(embedded_broker.bootstrap, tmp_path, BEFORE).create()


def ticks(seconds):
    return [score_tick(partition, {"gateway": START + seconds}) for partition in range(P)]


async def run(lab, *log):
    """Publish `log`; run a worker until it has processed all published events."""
    await lab.publish(log)
    async with lab.watching() as app:

        async def processed():
            await app.consumer.commit()
            for topic in (lab.names.signals, lab.names.findings):  # the alert stage reads the findings of watch
                places = [record.partition for record in await lab.read(topic, Q)]
                ends = [places.count(place) for place in range(Q)]
                if ends != [await lab.committed(app.conf.id, topic, place) or 0 for place in range(Q)]:
                    return False
            return True

        await lab.eventually(processed, 40)
        return {bytes(key): value for key, value in app.tables["streams"].data.items()}


def rebuilt(caplog):
    found = [record.getMessage() for record in caplog.records if REBUILT in record.getMessage()]
    caplog.clear()
    return found


async def test_the_state_of_an_idle_stream_is_rebuilt_once(lab, caplog):
    log = [signal_event(f"r{number}", START + number / 10, features={"characters": 9.0}) for number in range(100)]
    await run(lab, *log, *ticks(60))
    assert rebuilt(caplog) == []
    lab.tenants = AFTER
    await run(lab, *ticks(61))
    assert len(rebuilt(caplog)) == 1
    await run(lab, *ticks(62))
    assert rebuilt(caplog) == []


async def test_damaged_states_of_idle_streams_are_rebuilt_once(lab, caplog):
    log = [signal_event("r1", START), *ticks(60), finding_of("r1", START, "pii")]
    await run(lab, *log)
    # A worker loads the state of a partition at its first record, and this worker reads no record.
    async with lab.watching() as app:
        for name in ("streams", "alerts"):
            for partition in range(Q):
                for key in [key for key, _ in app.tables[name].rows(partition) if not key.startswith(b"\0")]:
                    await app.tables[name].put(key, b"garbage", partition=partition)
    assert rebuilt(caplog) == []
    await run(lab, *ticks(500))
    assert rebuilt(caplog)
    await run(lab, *ticks(501))
    assert rebuilt(caplog) == []


async def test_a_late_event_is_still_late_after_a_state_is_rebuilt(lab, caplog):
    idle, late = signal_event("r1", START), signal_event("r2", START + 3, tenant="gamma")
    await run(lab, idle, *ticks(60))
    lab.tenants = AFTER
    table = await run(lab, late, *ticks(61))
    assert rebuilt(caplog)
    assert partition_for(idle.partitionkey, Q) == partition_for(late.partitionkey, Q)
    assert late.partitionkey.encode() not in table
    assert lab.registry.get_sample_value("weir_late_events_total") == 1
