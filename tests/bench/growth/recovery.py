"""Time from the start of a watch worker to its first tick in every partition, if it must restore the state of many tenants."""

import time

import numpy as np
from support.alert_log import Alerts
from support.memory import MIB, peak_bytes
from support.signal_log import finding_of, score_tick
from support.stage_lab import Q
from support.watch_lab import WatchLab

from detectors.base import Observation
from detectors.models.embedding import PACKED_DIMENSIONS
from stream.kafka.admin import create_topics
from stream.kafka.clients import producer_for
from stream.settings import TenantSettings
from stream.stages.shared.state_codec import encode
from stream.stages.watch.state import StreamState
from stream.stages.watch_app import stream_detectors
from stream.wire import Tick, partition_for, stream_key
from stream.wire.topics import Topic

TENANTS = (10, 100, 1_000, 10_000)
#: Number of events of each stream: a new stream, and a stream whose reference is full.
EVENTS = (20, 250)
SEED = 0
_SECONDS = 400.0


async def rows(bootstrap, directory):
    for events in EVENTS:
        state = _state(events)
        for tenants in TENANTS:
            folder = directory / f"{events}-{tenants}"
            folder.mkdir(parents=True)
            lab = await WatchLab(bootstrap, folder, {}).create()
            await _write(lab, tenants, state)
            seconds, peak = await _recovered(lab)
            yield {
                "events per stream": events,
                "tenants": tenants,
                "streams": 2 * tenants,
                "MB of state": 2 * tenants * len(state) / 1e6,
                "seconds": seconds,
                "MiB of the worker": peak / MIB,
            }


def _state(events):
    """Return the table value of a stream after `events` events with embeddings."""
    random = np.random.default_rng(SEED)
    observations = [
        Observation(
            id=f"e{number}",
            time=float(number),
            features={
                "characters": float(random.integers(10, 900)),
                "words": float(random.integers(3, 200)),
                "latency_seconds": float(random.random()),
            },
            embedding=random.normal(size=PACKED_DIMENSIONS).astype(np.float16).tobytes(),
            principal="k1",
        )
        for number in range(events)
    ]
    detectors = stream_detectors(TenantSettings())
    for detector in detectors.values():
        detector.update_many(observations)
    snapshots = {name: detector.snapshot() for name, detector in detectors.items()}
    return encode(StreamState(seconds=30.0, last_closed=33_332, last_event=33_329, snapshots=snapshots))


async def _write(lab, tenants, state):
    """Write the changelogs of the worker's tables (a state per stream, an alert per tenant), and ticks for the worker to process."""
    application = f"{lab.kafka.topic_prefix}watch"
    changelogs = {table: f"{application}-{table}-changelog" for table in ("streams", "alerts")}
    made = [
        Topic(name=name, partitions=Q, cleanup_policy="compact", retention_ms=-1, retention_bytes=-1)
        for name in changelogs.values()
    ]
    await create_topics(lab.kafka.client_options(), made)
    async with producer_for(lab.kafka.client_options(), linger_ms=20, max_batch_size=1024**2) as producer:
        for number in range(tenants):
            for side in ("input", "output"):
                key = stream_key(f"t{number}", "m", side)
                await producer.send(changelogs["streams"], state, key.encode(), partition_for(key, Q))
            alerts = Alerts()
            alerts.apply(finding_of(f"r{number}", 999_900.0, "pii", tenant=f"t{number}"), 0)
            for key, value in alerts.states.items():
                await producer.send(changelogs["alerts"], encode(value), key.encode(), partition_for(key, Q))
        await producer.flush()
    await lab.publish([score_tick(partition, {"a": 1_000_000.0}) for partition in range(2)])


async def _recovered(lab):
    async def ticked():
        assert process.returncode is None
        return len({record.partition for record, _ in await lab.records(lab.names.findings, Tick)}) == Q

    began = time.perf_counter()
    async with lab.working() as process:
        await lab.eventually(ticked, _SECONDS)
        return time.perf_counter() - began, peak_bytes(process.pid)
