"""Sentinels and paired prompts on a real broker.

A changed or biased model causes an alert of Weir's tenant, and drift alerts of every partition state that the model changed.
"""

import msgspec
import pytest
from support.alert_log import bucket_finding
from support.paired_log import Model, signals
from support.sentinel_log import answers
from support.signal_log import MODEL
from support.stage_lab import Q
from support.watch_lab import WatchLab

from stream.wire import OWN_TENANT, SentinelRecord, partition_for, stream_key

pytestmark = pytest.mark.kafka
OPTIONS = {"alarm_every_events": 1000, "reference_events": 24}
TENANTS = {
    "*": {"bucket_seconds": 5},
    OWN_TENANT: {"sentinel": OPTIONS, "bias": {"alarm_every_events": 1000}},
}


def drift_of(tenant, number):
    event = bucket_finding(number, side="output")
    key = stream_key(tenant, MODEL, "output")
    data = msgspec.structs.replace(event.data, tenant=tenant)
    return msgspec.structs.replace(event, id=f"{event.id}/{tenant}", data=data, partitionkey=key)


def tenants_of_every_partition():
    """Return one tenant for each partition of findings whose stream is on that partition."""
    found = {partition_for(stream_key(f"t{n}", MODEL, "output"), Q): f"t{n}" for n in range(64)}
    assert len(found) == Q
    return sorted(found.values())


async def test_a_changed_model_causes_an_alert_and_drift_alerts_on_every_partition_name_it(embedded_broker, tmp_path):
    lab = await WatchLab(embedded_broker.bootstrap, tmp_path, TENANTS).create()
    tenants = tenants_of_every_partition()
    await lab.publish(answers(OWN_TENANT, 120, changed_at=90))
    async with lab.watching():

        async def told():
            notes = await lab.records(lab.names.findings, SentinelRecord)
            return {record.partition for record, event in notes if event.data.moved} == set(range(Q))

        await lab.eventually(told, 90)
        await lab.publish([drift_of(tenant, 330) for tenant in tenants])

        async def alerted():
            return set(tenants) | {OWN_TENANT} <= {alert.tenant for alert in await lab.alerts()}

        await lab.eventually(alerted, 90)
    alerts = await lab.alerts()
    assert {(alert.detector, alert.model) for alert in alerts if alert.tenant == OWN_TENANT} == {("sentinel", MODEL)}
    for alert in alerts:
        if alert.detector == "drift":
            assert alert.sentinels == "moved"
            assert "fixed prompts changed too" in alert.summary
    assert await lab.decisions() == [] or all(one.tenant != OWN_TENANT for one in await lab.decisions())


async def test_a_biased_model_causes_an_alert_of_weirs_tenant(embedded_broker, tmp_path):
    lab = await WatchLab(embedded_broker.bootstrap, tmp_path, TENANTS).create()
    await lab.publish(signals(Model(factor=0.7), 150))
    async with lab.watching():
        await lab.eventually(lab.alerts, 90)
    alert = (await lab.alerts())[0]
    assert (alert.detector, alert.tenant, alert.model, alert.feature) == ("bias", OWN_TENANT, MODEL, "words")
    assert "with 'Muslim' in the prompt instead of 'Christian' (religion): words" in alert.summary
