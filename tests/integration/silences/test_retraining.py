"""A silence mutes telling: what is silenced counts for retraining as any."""

import tomllib
from pathlib import Path

import pytest
from support.alert_records import alert, event, silence
from support.demo_log import START, TENANT, demo_log
from support.signal_log import MODEL
from support.stage_lab import Q
from support.watch_lab import WatchLab

from stream.wire import encode, partition_for, tenant_model_key
from weir.client import Client

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
TENANTS = tomllib.loads((Path(__file__).parents[3] / "weir.toml").read_text())["tenants"]


def silences():
    """Return a silence of everything that the demo's log sets off, over all times."""
    for side in ("input", "output"):
        for detector, feature in (("pii", ""), ("toxicity", ""), ("drift", "embedding")):
            muted = alert("al_before", tenant=TENANT, model=MODEL, side=side, detector=detector, feature=feature)
            yield event(silence(muted, 0.0, START + 3600.0))


async def test_silenced_alerts_lead_to_the_request_that_they_lead_to_anyway(apache_broker, tmp_path):
    lab = await WatchLab(apache_broker.bootstrap, tmp_path, TENANTS).create()
    async with lab.producer() as producer:
        place = partition_for(tenant_model_key(TENANT, MODEL), Q)
        for record in map(encode, silences()):
            headers = list(record.headers)
            await producer.send_and_wait(
                lab.names.alerts, record.value, key=record.key, partition=place, headers=headers
            )
    await lab.publish(demo_log(1))
    async with lab.watching():

        async def requested():
            return "requested" in [record.state for record in await lab.decisions()]

        await lab.eventually(requested, 60)
    assert await lab.read(lab.names.dead_letters) == []
    client = Client(bootstrap_servers=lab.kafka.bootstrap_servers, topic_prefix=lab.kafka.topic_prefix)
    told = {(item.detector, item.silenced) async for item in client.alerts(follow=False)}
    assert {("pii", True), ("toxicity", True), ("drift", True)} <= told
    assert ("drift", False) not in told
