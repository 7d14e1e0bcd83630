"""F13 on real brokers: an inactive source causes one alert, also if the worker changes meanwhile, and no retraining event."""

import pytest
from support.source_liveness_log import START, tick_lanes
from support.stage_lab import P, Q
from support.watch_chain import Chain
from support.watch_lab import WatchLab

from stream.stages.watch.source_liveness import OWN_STREAM
from stream.wire import FindingRecord, partition_for

pytestmark = pytest.mark.kafka
#: The worker changes after the last tick of the source, at 100 s, and before the watermark stops waiting for the source, at 159 s.
#: The stored state is of 90 s.
HANDED_OVER = 155


def both_lanes(gaps):
    return [event for pair in zip(*tick_lanes(400, gaps, partitions=P), strict=True) for event in pair]


async def test_a_source_that_becomes_inactive_while_the_worker_changes_causes_one_alert_that_resolves(broker, tmp_path):
    lab = await WatchLab(broker.bootstrap, tmp_path, {}).create()
    log = both_lanes({"a": [], "b": [(100, 200)]})
    expected = Chain({}, lambda _: {}, P).run(log)
    cut = HANDED_OVER * P
    await lab.publish(log[:cut])
    async with lab.watching() as app:
        await lab.commit(app, lab.names.signals, dict.fromkeys(range(Q), cut))
    assert await lab.alerts() == []
    await lab.publish(log[cut:])
    async with lab.watching() as app:

        async def resolved():
            return "resolved" in [record.state for record in await lab.alerts()]

        await lab.eventually(resolved, 60)
        await lab.commit(app, lab.names.signals, dict.fromkeys(range(Q), len(log)))
        assert lab.registry.get_sample_value(
            "weir_bucket_findings_total", {"detector": "silence", "alarm": "true"}
        ) == len([event for event in expected.findings if isinstance(event.data, FindingRecord) and event.data.alarm])
    alerts = await lab.alerts()
    assert [(record.alert_id, record.revision, record.state) for record in alerts] == [
        (event.data.alert_id, event.data.revision, event.data.state) for event in expected.alerts
    ]
    assert {(record.detector, record.tenant, record.feature) for record in alerts} == {("silence", "_weir", "b")}
    assert [record.at - START for record in alerts] == [180.0, 270.0]
    findings = await lab.records(lab.names.findings, FindingRecord)
    assert {record.partition for record, _ in findings} == {partition_for(OWN_STREAM, Q)}, "on one partition"
    assert await lab.decisions() == []
    opening = next(event for event in expected.findings if isinstance(event.data, FindingRecord))
    spans = {span.name: span for span in lab.exporter.get_finished_spans()}
    assert spans["alert silence"].parent.span_id == spans["evaluate silence"].context.span_id
    assert alerts[0].causation_ids == (opening.id,)
