"""The alert stage has no state of an alert, or its settings changed, also after Kafka deleted the findings: the alert still resolves, once.

If a topic was created again, its stage stops.
"""

import re
from unittest.mock import AsyncMock

import msgspec
import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from support.demo_log import START
from support.signal_log import finding_of, score_tick, signal_event
from support.stage_lab import P, Q
from support.watch_lab import WatchLab

from detectors.streams.bias import PAIRED_TERMS
from stream.kafka.clients import admin_for
from stream.runtime.app import BaseApp
from stream.runtime.table import AckedTable
from stream.wire import encode

pytestmark = pytest.mark.kafka


@pytest.fixture
async def lab(apache_broker, tmp_path) -> WatchLab:
    return await WatchLab(apache_broker.bootstrap, tmp_path, {"*": {"bucket_seconds": 5}}).create()


def ticks(seconds):
    return [score_tick(partition, {"gateway": START + seconds}) for partition in range(P)]


async def states(lab):
    """Return the state of each alert from the last record of its key, which compaction keeps."""
    found = {record.alert_id: record for record in await lab.alerts()}
    return [found[name].state for name in sorted(found, key=lambda name: found[name].opened_at)]


async def fired(lab, *detectors):
    """Publish a finding of `pii` and of each of `detectors`; wait until their alerts fire and their offsets are committed."""
    findings = [finding_of("r1", START, detector) for detector in ("pii", *detectors)]
    await lab.publish([signal_event("r1", START), *ticks(1), *findings])
    async with lab.watching() as app:

        async def committed():
            await app.consumer.commit()
            ends = [record.partition for record in await lab.read(lab.names.findings, Q)]
            done = [await lab.committed(app.conf.id, lab.names.findings, place) or 0 for place in range(Q)]
            return len(await lab.alerts()) == len(findings) and done == [ends.count(place) for place in range(Q)]

        await lab.eventually(committed, 40)
    assert await states(lab) == ["firing"] * len(findings)
    return app


async def damage(lab, app):
    """Write an unreadable state of each stream."""
    async with lab.producer() as producer:
        for record in await lab.read(app.tables["alerts"].changelog_topic_name, Q):
            await producer.send_and_wait(record.topic, b"garbage", key=record.key, partition=record.partition)


async def delete(lab, app):
    """Delete the changelog."""
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.delete_topics([app.tables["alerts"].changelog_topic_name])


@pytest.mark.parametrize("lose", [damage, delete])
@pytest.mark.parametrize("expired", [True, False], ids=["without findings", "with findings"])
async def test_an_alert_whose_state_was_lost_resolves_once(lab, lose, expired):
    app = await fired(lab)
    await lose(lab, app)
    if expired:
        places = {TopicPartition(lab.names.findings, place): RecordsToDelete(before_offset=-1) for place in range(Q)}
        async with admin_for(lab.kafka.client_options()) as admin:
            await admin.delete_records(places)

    async def resolved():
        return await states(lab) == ["resolved"]

    await lab.publish(ticks(400))
    async with lab.watching():
        await lab.eventually(resolved, 60)
    assert [(record.state, record.revision) for record in await lab.alerts()] == [("firing", 0), ("resolved", 1)]
    summary = (await lab.alerts())[-1].summary
    assert ("because its state was lost" in summary) == expired


@pytest.mark.parametrize(
    "changed", [{"threshold": {"pii": 0.95}}, {"update_seconds": 3600}], ids=lambda one: next(iter(one))
)
async def test_an_alert_of_a_worker_that_stored_no_state_resolves_after_a_change_of_settings(lab, changed, monkeypatch):
    findings = [finding_of(f"r{number}", START + 11 * number, "pii") for number in range(6)]
    await lab.publish([signal_event("r0", START), *ticks(1), *findings])

    async def published():
        return len(await lab.alerts()) >= len(findings)

    with monkeypatch.context() as patch:
        patch.setattr(AckedTable, "put", AsyncMock())
        patch.setattr(BaseApp, "acknowledge", lambda *_: True)
        async with lab.watching():
            await lab.eventually(published, 40)
    lab.tenants = {"*": {"bucket_seconds": 5, "alerts": changed}}

    async def resolved():
        return await states(lab) == ["resolved"]

    await lab.publish(ticks(400))
    async with lab.watching():
        await lab.eventually(resolved, 60)
    revisions = [record.revision for record in await lab.alerts()]
    assert revisions[-1] == max(revisions) == len(findings)


async def test_an_alert_rebuilt_under_other_settings_resolves_with_a_higher_revision_than_its_published_records(lab):
    app = await fired(lab)
    await lab.publish(finding_of(f"r{number}", START + 10 * number, "pii") for number in range(2, 7))

    async def revisions():
        return [record.revision for record in await lab.alerts()]

    async def updated():
        return await revisions() == list(range(6))

    async with lab.watching():
        await lab.eventually(updated, 40)
    await damage(lab, app)
    lab.tenants = {"*": {"bucket_seconds": 5, "alerts": {"update_seconds": 60}}}

    async def resolved():
        return await states(lab) == ["resolved"]

    await lab.publish(ticks(400))
    async with lab.watching():
        await lab.eventually(resolved, 60)
    assert (await revisions())[-1] == max(await revisions()) == 6


def failing_finding():
    """Return a finding for which the alert stage raises an error: a valid record whose details it cannot read."""
    event = finding_of("r0", START, "bias")
    window = {"alarm": True, "bucket": int(START // 5), "bucket_seconds": 5.0, "events": 1, "feature": "words"}
    data = msgspec.structs.replace(event.data, **window, details={f"{PAIRED_TERMS}x": 1.0})
    return msgspec.structs.replace(event, data=data)


async def test_a_record_that_became_a_dead_letter_does_not_stop_the_rebuild_of_a_state(lab):
    await lab.publish([failing_finding()])
    app = await fired(lab)
    await damage(lab, app)

    async def resolved():
        return await states(lab) == ["resolved"]

    # The alert of the failing finding ends at the first watermark, with an error.
    await lab.publish([*ticks(400), *ticks(420)])
    async with lab.watching():
        await lab.eventually(resolved, 60)
    letters = await lab.read(lab.names.dead_letters, 1)
    assert [letter.value for letter in letters].count(encode(failing_finding()).value) == 1


@pytest.mark.parametrize("topic", ["signals", "findings", "alerts", "retraining"])
async def test_a_stage_does_not_ignore_the_records_of_a_topic_that_was_created_again(lab, topic):
    await fired(lab, "toxicity")
    name = getattr(lab.names, topic)
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.delete_topics([name])
    await lab.create()
    for partition in range(Q):
        await lab.produce(name, [b"no event"], partition)
    app = lab.watch_app()
    async with lab.running(app):
        await lab.eventually(lambda: app.crashed, 40)
    (error,) = app.crash_reason.exceptions
    found = re.fullmatch(
        rf"{name}/\d ends at offset 1, but a state in (\S+) has read offset [1-9]: the topic was created again; "
        r"delete the topic \1 \(docs/operate.md, Rebuild, reset\)",
        str(error),
    )
    assert found, error
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.delete_topics([found[1]])
    async with lab.watching() as app:
        await lab.commit(app, name, dict.fromkeys(range(Q), 1))
