import msgspec
import pytest
from support.alert_log import ACME, Alerts, bucket_finding, settings, told
from support.signal_log import trace_of, watch_tick

from stream.bridge.firing_alerts import labels_of
from stream.errors import StateUnreadable
from stream.stages.alert.state import decode
from stream.stages.watch.records import RESET
from stream.wire import OWN_TENANT
from stream.wire.ids import alert_id


def clear(number):
    return bucket_finding(number, alarm=False)


def test_one_alarm_opens_an_alert_and_three_consecutive_clear_buckets_resolve_it(alerts):
    log = [clear(1), bucket_finding(2), clear(3), clear(4), bucket_finding(5), clear(6), clear(7), clear(8), clear(9)]
    records = alerts.run(log)
    assert told(records) == [("drift", "firing", 0, 15.0), ("drift", "firing", 1, 30.0), ("drift", "resolved", 2, 45.0)]
    assert records[0].data.alert_id == alert_id(ACME, "drift", log[1].id)
    assert records[1].data.windows == 2
    assert records[1].data.events == 20
    assert records[1].data.principals == {"k1": 10, "k2": 10}


def test_the_setting_open_windows_is_the_number_of_consecutive_alarms_that_open_an_alert():
    alerts = Alerts(settings(alerts={"open_windows": 3}))
    log = [bucket_finding(1), bucket_finding(2), clear(3), bucket_finding(4), bucket_finding(5), bucket_finding(6)]
    (opened,) = alerts.run(log)
    assert opened.data.opened_at == 35.0
    assert opened.causationid == log[-1].id
    assert opened.data.windows == 3
    assert opened.data.causation_ids == tuple(event.id for event in log[3:])


def test_the_span_is_a_child_of_the_finding_and_links_to_its_evidence(alerts):
    alerts.run([bucket_finding(7)])
    assert alerts.opened[0][2:] == (trace_of(7), (trace_of(8),))


def test_a_stream_that_becomes_inactive_resolves_by_event_time(alerts):
    alerts.run([bucket_finding(1)])
    assert alerts.run([watch_tick(309.0)], 1) == []
    assert told(alerts.run([watch_tick(2000.0)], 2)) == [("drift", "resolved", 1, 310.0)]


def test_an_alert_about_long_windows_waits_for_close_windows_of_them():
    alerts = Alerts(settings(bucket_seconds=600, alerts={"close_windows": 3}))
    alerts.run([bucket_finding(1, seconds=600.0)])
    assert alerts.run([watch_tick(2999.0)], 1) == []
    assert told(alerts.run([watch_tick(9000.0)], 2)) == [("drift", "resolved", 1, 3000.0)]


def test_after_an_alert_resolved_by_event_time_the_next_alert_needs_all_its_open_windows():
    alerts = Alerts(settings(alerts={"open_windows": 3}))
    alerts.run([bucket_finding(1), bucket_finding(2), bucket_finding(3), watch_tick(2000.0)])
    assert alerts.run([bucket_finding(500), bucket_finding(501)], 4) == []
    assert told(alerts.run([bucket_finding(502)], 6)) == [("drift", "firing", 0, 2515.0)]


def test_an_alert_waits_longer_after_its_stream_becomes_slower():
    alerts, slow = Alerts(), range(50, 400, 50)
    alerts.run([bucket_finding(number) for number in range(1, 20)])
    alerts.run([event for number in slow for event in (bucket_finding(number), watch_tick(5.0 * number + 245))], 20)
    last = 5.0 * slow[-1] + 5
    assert alerts.run([watch_tick(last + 400)], 100) == []


def test_a_stream_with_a_request_every_ten_minutes_has_one_alert_about_a_lasting_change():
    alerts, records = Alerts(), []
    before, after = range(120, 720, 120), range(720, 9600, 120)
    for number in [*before, *after]:
        log = [clear(number) if number in before else bucket_finding(number)]
        log += [bucket_finding(number + later, alarm=number in after, events=0) for later in range(1, 4)]
        records += alerts.run([*log, watch_tick(5 * number + 595.0)], 5 * number)
    assert {record.data.alert_id for record in records} == {records[0].data.alert_id}
    assert {record.data.state for record in records} == {"firing"}
    last = 5.0 * after[-1] + 5
    assert told(alerts.run([watch_tick(last + 86_400)], 100_000))[0][1:] == ("resolved", len(records), last + 1_200)


def office_hours(day, *, alarm):
    """Return an hourly tick, and on weekdays from 8 to 18 h an hourly finding."""
    log = []
    for hour in range(24):
        number = 720 * (24 * day + hour)
        log += [bucket_finding(number, alarm=alarm)] if day % 7 < 5 and 8 <= hour <= 18 else []
        log.append(watch_tick(5.0 * number + 5))
    return log


def test_nights_and_weekends_do_not_resolve_an_alert_about_a_lasting_change(alerts):
    log = [event for day in range(28) for event in office_hours(day, alarm=day >= 9)]
    records = alerts.run(log)
    assert {(record.data.alert_id, record.data.state) for record in records} == {(records[0].data.alert_id, "firing")}
    last = records[-1].data.at
    assert alerts.run([watch_tick(last + 3 * 86_400)], len(log)) == []
    (record,) = alerts.run([watch_tick(last + 30 * 86_400)], len(log) + 1)
    assert (record.data.state, record.data.at) == ("resolved", last + 4 * 86_400)


def test_a_gap_of_more_than_a_week_ago_does_not_delay_the_resolution(alerts):
    log = [clear(1), *(bucket_finding(17_280 * 4 + 60 * minute) for minute in range(8 * 288))]
    alerts.run(log)
    last = log[-1].data.time
    assert told(alerts.run([watch_tick(last + 86_400)], len(log)))[0][3] == last + 600


def test_a_feature_that_is_new_in_a_firing_alert_is_published_at_once(alerts):
    alerts.run([bucket_finding(number, feature="prompt_tokens") for number in range(1, 26)])
    (record,) = alerts.run([bucket_finding(26, feature="error"), bucket_finding(27, feature="prompt_tokens")], 25)
    assert (record.data.at, record.data.features) == (135.0, ("prompt_tokens", "error"))


def test_an_alarm_without_events_is_no_new_window(alerts):
    alerts.run([bucket_finding(1), bucket_finding(2, events=0), bucket_finding(3, events=0)])
    assert alerts.states[ACME].detectors["drift"].evidence.windows == 1
    assert told(alerts.run([watch_tick(2000.0)], 3)) == [("drift", "resolved", 1, 310.0)]


def sentinel(number, feature="embedding", events=10):
    finding = bucket_finding(number, "sentinel", side="output", events=events)
    return msgspec.structs.replace(
        finding, data=msgspec.structs.replace(finding.data, tenant=OWN_TENANT, feature=feature)
    )


def test_a_change_of_the_answers_to_fixed_prompts_is_one_alert_for_all_its_features():
    records = Alerts().run([sentinel(1, "embedding"), sentinel(2, "characters"), sentinel(3, "embedding")])
    assert len({record.data.alert_id for record in records}) == 1


def test_an_alarm_about_fixed_prompts_without_answers_is_no_new_window():
    log = [sentinel(1), *(sentinel(number, events=0) for number in range(2, 30)), watch_tick(2000.0)]
    record = Alerts().run(log)[-1]
    assert (record.data.state, record.data.severity, record.data.windows) == ("resolved", "warning", 1)


def test_the_evidence_of_a_window_counts_all_its_events():
    (record,) = Alerts().run([bucket_finding(1, events=50)])
    assert (len(record.data.evidence), record.data.evidence_total) == (20, 50)


def test_a_duplicate_bucket_is_ignored(alerts):
    log = [bucket_finding(1), clear(2), bucket_finding(1), clear(2), clear(2)]
    assert len(alerts.run(log)) == 1
    assert alerts.states[ACME].detectors["drift"].clears == 1


def test_a_detector_reset_does_not_count_as_a_clear_bucket(alerts):
    reset = bucket_finding(2, alarm=False)
    reset = msgspec.structs.replace(reset, data=msgspec.structs.replace(reset.data, feature=RESET))
    assert alerts.run([bucket_finding(1), reset]) != []
    assert alerts.states[ACME].detectors["drift"].clears == 0


@pytest.mark.parametrize("value", [b"", b"\x00\xff", b'{"json": 1}'])
def test_an_unreadable_state_is_an_error(value):
    with pytest.raises(StateUnreadable, match="rebuilt from the log"):
        decode(value)


def test_part_groups_are_streams_with_their_own_alerts():
    parts = ("", "prompt", "tool_result")
    records = [event.data for event in Alerts().run(bucket_finding(1, part=part) for part in parts)]
    assert [record.part for record in records] == list(parts)
    assert len({record.alert_id for record in records}) == 3
    assert "Tool result drift" in records[2].summary
    assert ("part", "tool_result") in labels_of(records[2], "weir")
    assert "part" not in dict(labels_of(records[0], "weir"))
