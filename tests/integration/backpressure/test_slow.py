"""A detector that is far too slow: a lag alert fires, no verdict is lost, and the alert resolves when the detector is fast again."""

import pytest
from support.backlog import append
from support.events import tick
from support.kafka_log import until
from support.running_ledger import running_ledger
from support.score_stack import ScoreLab, request
from support.signal_log import MODEL, level_detectors, score_tick, signal_event
from support.stage_lab import Q
from support.watch_lab import WatchLab

from stream.settings import WatchSettings
from stream.wire import FindingRecord, Signal, partition_for, stream_key

pytestmark = pytest.mark.kafka
OUTSTANDING = 200


async def test_a_slow_detector_causes_a_lag_alert_that_resolves_when_it_is_fast_again(apache_broker, tmp_path):
    lab = await ScoreLab(apache_broker.bootstrap, tmp_path).create()
    async with running_ledger(tmp_path, lab.kafka, lag_seconds=5) as reader:
        await lab.append(tick(100.0))
        events = [request(f"r{n}", "hello", at=101.0 + n / 100, owed=("pii",)) for n in range(1_000)]
        await append(lab.kafka, lab.names.inference, events)
        await lab.append(tick(112.0))

        def firing():
            return [alert.detector for alert in reader.own_alerts()]

        async with lab.worker("score", seconds=2):
            await until("a lag alert", lambda: firing() == ["lag"], 90)
        async with lab.worker("score"):
            await until("no alert", lambda: not firing(), 90)
        total = reader.coverage().total
        assert (total.owed, total.settled, total.missing, total.pending) == (1_000, 1_000, 0, 0)


async def test_watch_closes_buckets_early_at_its_limit_of_outstanding_events(embedded_broker, tmp_path):
    lab = await WatchLab(embedded_broker.bootstrap, tmp_path, {"*": {"bucket_seconds": 5}}).create()
    log = [score_tick(1, {"a": 1_000.0})]  # this partition of inference is stuck, so the watermark is
    for n in range(3_000):
        log.append(signal_event(f"r{n}", 1_000.0 + n / 10, tenant=f"t{n % 40}", features={"characters": 1.0}))
        log += [score_tick(0, {"a": 1_000.0 + n / 10})] * (n % 50 == 0)
    most = 0
    async with lab.running(lab.watch_app(WatchSettings(outstanding_events=OUTSTANDING))) as app:
        await lab.publish(log)

        async def taken():
            nonlocal most
            most = max(most, app.held[lab.names.signals]())
            counted = lab.registry.get_sample_value("weir_buckets_closed_early_total")
            return counted and sum(app.lag().values()) <= 2 * OUTSTANDING

        await lab.eventually(taken, 60)
    assert most <= OUTSTANDING
    assert len(await lab.records(lab.names.signals, Signal)) == 3_000


async def test_a_fast_clock_on_another_partition_closes_no_present_window_early(embedded_broker, tmp_path):
    lab = await WatchLab(embedded_broker.bootstrap, tmp_path, {"*": {"bucket_seconds": 5}}).create()
    fast, right = "t0", next(name for name in (f"t{n}" for n in range(1, 20)) if _partition(name) != _partition("t0"))
    ahead = [signal_event(f"f{n}", 4_600.0 + n / 10, tenant=fast, features={"x": 0.0}) for n in range(1_000)]
    present = [signal_event(f"r{n}", 1_000.0 + n / 20, tenant=right, features={"x": 0.0}) for n in range(190)]
    ticks = [
        score_tick(partition, {"a": time, "b": time + 3_600}) for time in (1_000.0, 1_010.0) for partition in (0, 1)
    ]
    async with lab.running(lab.watch_app(WatchSettings(outstanding_events=OUTSTANDING), detectors=level_detectors)):
        await lab.publish([*ticks[:2], *ahead, *present, *ticks[2:]])

        async def closed():
            return [event.data.details["events"] for _, event in await lab.records(lab.names.findings, FindingRecord)]

        await lab.eventually(closed, 60)
        assert await closed() == [190]


def _partition(tenant):
    return partition_for(stream_key(tenant, MODEL, "input"), Q)
