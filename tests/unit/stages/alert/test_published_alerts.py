import msgspec
import pytest
from support.alert_log import ACME, Alerts, settings, told
from support.signal_log import finding_of, watch_tick

from stream.stages.alert.published_alerts import PublishedAlerts

#: Six findings in one minute, and the end of their alert.
FINDINGS = [finding_of(f"r{number}", 100.0 + 11 * number, "pii") for number in range(6)]
LOG = [*FINDINGS, watch_tick(1000.0)]


def published(*records):
    alerts = PublishedAlerts(1)
    for record in records:
        alerts.add(record)
    return alerts


def corrections(records, states):
    return [(record.data.state, record.data.revision) for record in published(*records).corrections(0, states)]


def test_only_alerts_of_the_stage_itself_are_corrected():
    (opened,) = Alerts().run(FINDINGS[:1])
    others = msgspec.structs.replace(opened, source="weir/ledger")
    assert (published(others).streams(0), corrections([others], {})) == (set(), [])
    assert published(opened).streams(0) == {ACME}


def test_records_that_are_published_again_after_a_restart_need_no_correction(alerts):
    records = alerts.run(LOG)
    assert corrections([*records[:3], *records], alerts.states) == []


@pytest.mark.parametrize("count", [1, 6])
def test_an_alert_that_the_present_settings_do_not_open_is_resolved(count):
    alerts = Alerts(settings(alerts={"threshold": {"pii": 0.95}}))
    alerts.run(LOG)
    old = Alerts().run(FINDINGS[:count])
    assert corrections(old, alerts.states) == [("resolved", count)]
    (resolved,) = published(*old).corrections(0, alerts.states)
    assert resolved.id == f"{resolved.data.alert_id}/{count}"
    assert (resolved.data.resolved_at, "the settings changed" in resolved.data.summary) == (old[-1].data.at, True)
    assert corrections([*old, resolved], alerts.states) == []


def test_an_open_alert_continues_at_its_published_revision():
    alerts = Alerts(settings(alerts={"update_seconds": 3600}))
    assert told(alerts.run(FINDINGS)) == [("pii", "firing", 0, 100.0)]
    assert corrections(Alerts().run(FINDINGS), alerts.states) == []
    assert told(alerts.run(LOG[6:], 6)) == [("pii", "resolved", 6, 455.0)]


def test_a_resolution_with_the_revision_of_a_published_update_is_published_again_with_a_higher_one():
    """The retraining stage ignores a revision that it has read."""
    alerts = Alerts(settings(alerts={"update_seconds": 3600}))
    records = [*Alerts().run(FINDINGS[:2]), *alerts.run([*FINDINGS[:2], watch_tick(1000.0)])]
    assert [record.data.revision for record in records] == [0, 1, 0, 1]
    assert corrections(records, alerts.states) == [("resolved", 2)]


def test_the_newest_record_follows_an_old_one_of_a_paused_worker(alerts):
    """Else compaction keeps the old one."""
    records = alerts.run(LOG)
    assert corrections([*records, records[0]], alerts.states) == [("resolved", 6)]
    assert corrections([*records, records[0], records[6]], alerts.states) == []
    assert published(*records, records[0]).corrections(1, alerts.states) == []
    assert published(*records, records[0]).corrections(0, alerts.states) == [records[6]]
