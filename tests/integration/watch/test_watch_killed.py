"""F1 for the watch app: repeated kill -9 of its worker changes no alert and no decision."""

import asyncio
import tomllib
from pathlib import Path

import msgspec
import pytest
from support.demo_log import START, demo_log
from support.watch_chain import Chain
from support.watch_lab import WatchLab

from stream.stages.watch_app import stream_detectors
from stream.wire import FindingRecord, Tick

pytestmark = pytest.mark.kafka
TENANTS = tomllib.loads((Path(__file__).parents[3] / "weir.toml").read_text())["tenants"]


def recorded():
    """Return a log of one stream (prompts only), with the findings of score first, so that a kill does not change the order."""
    log = [event for event in demo_log(3) if not event.id.endswith("/end/signal")]
    findings = [event for event in log if isinstance(event.data, FindingRecord)]
    return findings, [event for event in log if not isinstance(event.data, FindingRecord)]


def last_words(alerts):
    """Return the last record of each alert."""
    return {record.alert_id: record for record in alerts}


async def log_time(lab):
    """Return the newest watermark that the watch stage has published to the alert stage, in seconds from the start."""
    ticks = [event.data.watermark for _, event in await lab.records(lab.names.findings, Tick)]
    return max(ticks, default=0.0) - START


async def test_a_worker_that_is_killed_repeatedly_gives_the_alerts_of_an_undisturbed_worker(apache_broker, tmp_path):
    lab = await WatchLab(apache_broker.bootstrap, tmp_path, TENANTS).create()
    findings, signals = recorded()
    expected = Chain(TENANTS, stream_detectors).run([*findings, *signals])
    await lab.publish(findings)
    third = len(signals) // 3
    for number, seconds in ((0, 10.0), (1, 40.0)):
        await lab.publish(signals[number * third : (number + 1) * third])
        async with lab.working() as process:
            await lab.eventually(lambda: _past(lab, process, seconds), 60)  # noqa: B023 - awaited within the iteration
            process.kill()
    await lab.publish(signals[2 * third :])
    async with lab.working() as process:
        await lab.eventually(lambda: _past(lab, process, 110.0), 60)
        wanted = {(event.data.alert_id, event.data.revision) for event in expected.alerts}

        async def all_told():
            return {(record.alert_id, record.revision) for record in await lab.alerts()} >= wanted

        await lab.eventually(all_told, 30)
        await lab.eventually(lambda: _decided(lab, len(expected.decisions)), 30)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    assert last_words(await lab.alerts()) == last_words(event.data for event in expected.alerts)
    decisions = {
        record.retraining_id: msgspec.structs.replace(record, data=None, pins=(), versions={})
        for record in await lab.decisions()
    }
    assert decisions == {decision.record.retraining_id: decision.record for decision in expected.decisions}
    assert [record.state for record in decisions.values()].count("requested") == 1


async def _decided(lab, count):
    return len({record.retraining_id for record in await lab.decisions()}) >= count


async def _past(lab, process, seconds):
    assert process.returncode is None, (lab.directory / "worker.log").read_text()[-3000:]
    return await log_time(lab) >= seconds
