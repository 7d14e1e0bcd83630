"""`weir replay` over a log that the real stages recorded on a real broker."""

import asyncio
import json
import signal

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition
from support.replay_lab import CERTAIN, SECONDS, WEAK, ReplayLab
from support.stage_lab import P

from detectors.pii.detector import PiiDetector
from stream.kafka.admin import create_topics
from stream.kafka.clients import admin_for
from stream.wire import AlertRecord, FindingRecord, format_time

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]
WIDTH = 5


@pytest.fixture
async def lab(apache_broker, tmp_path) -> ReplayLab:
    return await ReplayLab(apache_broker.bootstrap, tmp_path).create()


async def replayed(lab, *options, since=0.0, until=SECONDS + 30.0):
    """Run the command over a part of the log and return its report."""
    where = ("--from", format_time(lab.start + since), "--to", format_time(lab.start + until))
    done = await lab.commands.run("replay", *where, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def opened(alerts):
    """Return {(stream, detector, bucket of opening)} of alerts."""
    return {(one.tenant, one.model, one.side, one.detector, int(one.opened_at // WIDTH)) for one in alerts}


async def test_the_recorded_version_has_no_diff_and_a_variant_has_the_expected_one(lab, tmp_path):
    await lab.record()
    before = await lab.messages()
    live = [alert for alert in await lab.alerts() if alert.revision == 0]
    assert {alert.detector for alert in live} == {"pii", "drift"}

    same = await replayed(lab, "--detector", "pii@installed", "--output", str(tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text()) == same
    assert (same["diff"]["appeared"], same["diff"]["vanished"], same["diff"]["moved"]) == ([], [], [])
    assert same["diff"]["unchanged"] == same["detector"]["alerts"] == len([a for a in live if a.detector == "pii"]) > 0
    assert same["events"]["compared"] == SECONDS // 2
    assert (same["events"]["pending"], same["events"]["missing"], same["flips"]["total"]) == (0, 0, 0)
    await check_shadow(lab, same, live)
    await check_untouched(lab, before)

    again = await replayed(lab, "--detector", "pii@installed", "--no-publish")
    untimed = [{key: value for key, value in one.items() if key not in {"run", "topic"}} for one in (same, again)]
    assert untimed[0] == untimed[1]
    assert again["topic"] is None

    strict = await replayed(lab, "--detector", "pii@strict", "--no-publish")
    assert strict["replay_id"] != same["replay_id"]
    assert strict["detector"]["version"] == f"{PiiDetector.version}/strict"
    assert {alert["evidence"][0] for alert in strict["diff"]["vanished"]} == {f"r{number}" for number in WEAK}
    assert strict["diff"]["appeared"] == strict["diff"]["moved"] == []
    assert strict["diff"]["unchanged"] == len(CERTAIN) - 1, "two of them, two seconds apart, are one alert"
    assert strict["diff"]["by"] == [
        {"tenant": "acme", "detector": "pii", "appeared": 0, "vanished": 2, "moved": 0, "unchanged": 2}
    ]
    await check_streams(lab, live)
    await check_untouched(lab, before)


async def check_streams(lab, live):
    """Check that the installed drift detector gives the alerts and ids of watch, and that a variant does not."""
    drift = await replayed(lab, "--detector", "drift", "--no-publish")
    assert drift["diff"]["appeared"] == drift["diff"]["vanished"] == drift["diff"]["moved"] == []
    assert drift["diff"]["unchanged"] == len([alert for alert in live if alert.detector == "drift"])
    assert drift["notes"] == []
    calm = await replayed(lab, "--detector", "drift@calm", "--against", "drift@installed", "--no-publish")
    assert {one["alert_id"] for one in calm["diff"]["vanished"]} == {
        alert.alert_id for alert in live if alert.detector == "drift"
    }
    none = await replayed(lab, "--detector", "drift", "--tenant", "nobody-*", "--no-publish")
    assert none["events"]["read"] == none["diff"]["unchanged"] == 0
    assert "no events of tenant nobody-*" in none["notes"][0]


async def check_shadow(lab, report, live):
    """Check that the findings and alerts on the shadow topic are those of the live stack."""
    shown = await lab.records(lab.names.replay, partitions=1)
    assert {event.source for _, event in shown} == {f"weir/replay/{report['replay_id']}"}
    alerts = [event.data for _, event in shown if isinstance(event.data, AlertRecord)]
    assert opened(alerts) == opened(alert for alert in live if alert.detector == "pii")
    findings = {event.id for _, event in shown if isinstance(event.data, FindingRecord)}
    recorded = [event for _, event in await lab.findings() if isinstance(event.data, FindingRecord)]
    assert findings == {event.id for event in recorded if event.data.detector == "pii"}
    assert "jo.public" not in repr(shown)


async def check_untouched(lab, before):
    """Check that no other topic has new records."""
    after = await lab.messages()
    grown = {topic for topic, count in after.items() if count != before[topic]}
    assert grown <= {lab.names.replay}


BOTH = ("--detector", "pii", "--against", "pii@strict", "--no-publish")


async def test_two_versions_are_run_and_compared_and_ctrl_c_ends_the_command(broker, tmp_path):
    lab = await ReplayLab(broker.bootstrap, tmp_path).create()
    await lab.fill()
    found = await replayed(lab, *BOTH)
    assert {alert["evidence"][0] for alert in found["diff"]["appeared"]} == {f"r{number}" for number in WEAK}
    assert found["events"]["compared"] == SECONDS // 2
    empty = await replayed(lab, *BOTH, since=-3600.0, until=-1800.0)
    assert empty["diff"]["by"] == []
    assert "no events of tenant *" in empty["notes"][0]

    running = await lab.commands.start("replay", "--from", "1h", *BOTH)
    try:
        async with asyncio.timeout(60):
            assert await running.stderr.readline(), "the command printed no progress"
            running.send_signal(signal.SIGINT)
            _, errors = await running.communicate()
        assert (running.returncode, errors.count(b"Traceback")) == (130, 0)
        assert errors.endswith(b"nothing was compared\n")
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_an_expired_range_is_an_error_that_names_the_remaining_range(lab):
    await lab.fill()
    await delete(lab, 50)
    part = await replayed(lab, *BOTH)
    assert "Kafka has deleted records (partitions 0, 1)" in part["notes"][0]
    assert 0 < part["events"]["compared"] < SECONDS // 2
    gone = await lab.commands.run("replay", "--from", "2h", "--to", "1h", *BOTH)
    assert gone.returncode == 1
    assert "have expired" in gone.stderr
    assert "only records that were produced from" in gone.stderr


async def test_the_archive_has_what_kafka_deleted(lab, tmp_path):
    await lab.fill()
    whole = await replayed(lab, *BOTH)
    lab.commands.env["WEIR_ARCHIVE__URL"] = str(tmp_path / "archive")
    archived = await lab.commands.run("archive", "run", "--json")
    assert archived.returncode == 0, archived.stderr
    assert json.loads(archived.stdout)[lab.names.inference] > 100
    await delete(lab, 50)
    again = await replayed(lab, *BOTH)
    assert again["events"]["compared"] == SECONDS // 2
    assert (again["diff"], again["offsets"], again["notes"]) == (whole["diff"], whole["offsets"], [])


async def delete(lab, offset):
    """Delete the records before `offset` of each partition of inference."""
    partitions = [TopicPartition(lab.names.inference, number) for number in range(P)]
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.delete_records(dict.fromkeys(partitions, RecordsToDelete(before_offset=offset)))


async def test_missing_topics_are_an_error_that_names_the_command(apache_broker, tmp_path):
    lab = ReplayLab(apache_broker.bootstrap, tmp_path)
    done = await lab.commands.run("replay", "--from", "1h", "--detector", "pii")
    assert done.returncode == 1
    assert f"no topic {lab.names.inference}" in done.stderr
    assert "weir topics create" in done.stderr


async def test_an_absent_topic_of_replays_is_an_error_that_names_the_option_without_it(apache_broker, tmp_path):
    lab = ReplayLab(apache_broker.bootstrap, tmp_path)
    topics = [topic for topic in lab.kafka.topics() if topic.name != lab.kafka.names.replay]
    await create_topics(lab.kafka.client_options(), topics)
    done = await lab.commands.run("replay", "--from", "1h", "--detector", "pii")
    assert done.returncode == 1
    assert f"no topic {lab.kafka.names.replay}; " in done.stderr
    assert "--no-publish" in done.stderr
