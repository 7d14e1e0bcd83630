"""A detector that is far too slow: a lag alert, nothing lost, and an end of both when it is fast again."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support.backlog import append
from support.events import tick
from support.kafka_log import until
from support.score_stack import ScoreLab, request
from support.signal_log import score_tick, signal_event
from support.watch_lab import WatchLab

from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.service import run_ledger
from stream.settings import LedgerSettings, WatchSettings
from stream.wire import Signal

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
OUTSTANDING = 200


async def ledger_over(lab, directory, stop):
    await run_ledger(
        directory=directory,
        kafka=lab.kafka,
        ledger=LedgerSettings(lag_seconds=5),
        registry=CollectorRegistry(),
        tracer_provider=TracerProvider(),
        stop=stop,
        health={},
    )


async def test_a_slow_detector_is_a_lag_alert_that_resolves_when_it_is_fast_again(apache_broker, tmp_path):
    lab = await ScoreLab(apache_broker.bootstrap, tmp_path).create()
    reader, stop = LedgerReader(tmp_path / "ledger"), asyncio.Event()
    ledger = asyncio.create_task(ledger_over(lab, tmp_path / "ledger", stop))
    try:
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
    finally:
        stop.set()
        await asyncio.wait_for(ledger, 30)


async def test_watch_closes_buckets_early_rather_than_hold_more_than_it_may(embedded_broker, tmp_path):
    lab = await WatchLab(embedded_broker.bootstrap, tmp_path, {"*": {"bucket_seconds": 5}}).create()
    ticks = [score_tick(partition, {"a": 1_000.0}) for partition in range(2)]
    signals = [
        signal_event(f"r{n}", 1_000.0 + n / 10, tenant=f"t{n % 40}", features={"characters": 1.0}) for n in range(3_000)
    ]
    most = 0
    async with lab.running(lab.watch_app(WatchSettings(outstanding_events=OUTSTANDING))) as app:
        await lab.publish([*ticks, *signals])

        async def taken():
            nonlocal most
            most = max(most, app.held())
            counted = lab.registry.get_sample_value("weir_buckets_closed_early_total")
            return counted and sum(app.lag().values()) <= 2 * OUTSTANDING

        await lab.eventually(taken, 60)
    assert most <= OUTSTANDING
    assert len(await lab.records(lab.names.signals, Signal)) == 3_000
