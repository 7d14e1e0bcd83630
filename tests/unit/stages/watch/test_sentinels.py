"""Sentinels in the stages, without Kafka: alerts of Weir's own tenant, and the result of the sentinels in alerts of
drift.
"""

import msgspec
import pytest
from support.alert_log import Alerts, bucket_finding
from support.paired_log import Model, prompt_id, signals
from support.sentinel_log import answers
from support.signal_log import MODEL, rules, score_tick, signal_event, watch_tick
from support.watch_chain import Chain

from stream.stages.watch.machine import PartitionWatch
from stream.stages.watch.records import sentinel_note
from stream.stages.watch_app import stream_detectors
from stream.wire import OWN_TENANT, Event, SentinelRecord, stream_key

OPTIONS = {"alarm_every_events": 1000, "reference_events": 24}
PATTERNS = {
    "*": {"bucket_seconds": 5, "drift": OPTIONS},
    OWN_TENANT: {"sentinel": OPTIONS, "bias": {"alarm_every_events": 1000}},
}
P = 2


def test_unchanged_answers_raise_no_alert():
    patterns = {"*": {"bucket_seconds": 5}}  # the default budget of one false alarm in 10,000 answers
    assert Chain(patterns, stream_detectors, P).run(answers(OWN_TENANT, 300)).alerts == []


def test_a_biased_model_raises_an_alert_of_weirs_tenant_with_the_terms_and_the_size():
    chain = Chain(PATTERNS, stream_detectors, P).run(signals(Model(factor=0.7), 150))
    opened = chain.alerts[0].data
    assert (opened.detector, opened.tenant, opened.feature) == ("bias", OWN_TENANT, "words")
    start = f"Answer bias on {MODEL}: with 'Muslim' in the prompt instead of 'Christian' (religion): words 1"
    assert opened.summary.startswith(start)
    assert {alert.data.detector for alert in chain.alerts} == {"bias"}, "sentinel does not read these answers"


def test_streams_of_sentinels_have_only_their_own_detectors_and_users_have_the_others():
    machine = PartitionWatch(rules(P, PATTERNS, stream_detectors))
    names = {key: set(machine._fresh(stream_key(key, MODEL, "output"))) for key in ("acme", OWN_TENANT)}
    assert names == {"acme": {"drift", "anomaly", "tool_mix"}, OWN_TENANT: {"sentinel", "bias"}}


def test_streams_of_prompts_have_only_detectors_of_prompts():
    machine = PartitionWatch(rules(P, PATTERNS, stream_detectors))
    assert set(machine._fresh(stream_key("acme", MODEL, "input"))) == {"drift", "anomaly"}
    assert machine._fresh(stream_key(OWN_TENANT, MODEL, "input")) == {}


def note(*, moved, at=15.0, model=MODEL):
    record = SentinelRecord(model=model, at=at, moved=moved, statistic=1.0, limit=10.0)
    return Event(id="note", source="weir/watch", type=record.event_type, time=at, data=record)


@pytest.mark.parametrize(
    ("said", "word", "sentence"),
    [
        (None, "", ""),
        (note(moved=True), "moved", "fixed prompts changed too"),
        (note(moved=False), "still", "unchanged (until 00:00:15 UTC)"),
        (note(moved=True, at=-700.0), "", ""),  # an old note
    ],
)
def test_an_alert_of_drift_states_whether_the_sentinels_changed_too(said, word, sentence):
    alerts = Alerts()
    *_, opened = alerts.run([*([said] if said else []), bucket_finding(1)])
    assert opened.data.sentinels == word
    assert sentence in opened.data.summary
    assert ("fixed prompts" in opened.data.summary) == bool(word)


def test_other_alerts_do_not_mention_sentinels():
    alerts = Alerts()
    alerts.apply(note(moved=True))
    (opened,) = alerts.run([bucket_finding(1, "anomaly")])
    assert (opened.data.sentinels, "fixed prompts" in opened.data.summary) == ("", False)


def test_an_update_of_an_alert_has_the_newest_result_of_the_sentinels():
    alerts = Alerts()
    alerts.run([bucket_finding(1), bucket_finding(2)])
    alerts.apply(note(moved=True))
    (update,) = alerts.run([watch_tick(40.0)], 2)
    assert (update.data.state, update.data.sentinels) == ("firing", "moved")


def test_a_note_has_the_finding_of_a_sentinel_if_the_bucket_has_answers():
    chain = Chain(PATTERNS, stream_detectors, P).run(answers(OWN_TENANT, 120, changed_at=90))
    notes = [told for event in chain.findings if (told := sentinel_note(event)) is not None]
    assert {told.data.moved for told in notes} == {False, True}
    assert {told.data.model for told in notes} == {MODEL}
    assert sentinel_note(bucket_finding(1)) is None
    empty = next(event for event in chain.findings if sentinel_note(event) is not None)
    assert sentinel_note(msgspec.structs.replace(empty, data=msgspec.structs.replace(empty.data, events=0))) is None


def test_a_finding_about_fixed_prompts_counts_only_answers_that_its_detector_reads():
    chain = Chain({"*": {"bucket_seconds": 5}, OWN_TENANT: {"sentinel": {"reference_events": 8}}}, stream_detectors, P)
    chain.run(answers(OWN_TENANT, 20)).findings.clear()
    own = {"tenant": OWN_TENANT, "side": "output", "features": {"characters": 120.0}}
    for request, time, prompt in (
        ("pair", 1201.0, prompt_id(0, "reference")),
        ("fixed", 1202.0, "sentinel/1/0"),
        ("lone", 1206.0, prompt_id(0, "compared")),
    ):
        chain.run([signal_event(request, time, prompt=prompt, principal=f"key-{request}", **own)])
    chain.run(score_tick(partition, {"s": 1211.0}) for partition in range(P))
    both, pair = [event for event in chain.findings if getattr(event.data, "detector", "") == "sentinel"][-2:]
    assert (both.data.events, both.data.evidence, both.data.principals) == (1, ("fixed",), {"key-fixed": 1})
    assert sentinel_note(both) is not None
    assert (pair.data.events, pair.data.evidence, pair.data.principals) == (0, (), {})
    assert sentinel_note(pair) is None


def test_the_newest_note_of_a_model_is_used():
    alerts = Alerts()
    for said in (note(moved=False, at=10.0), note(moved=True, at=20.0), note(moved=False, at=15.0)):
        alerts.apply(said)
    assert alerts.sentinels[MODEL].moved
    for number in range(2000):
        alerts.apply(note(moved=False, model=f"m{number}"))
    assert len(alerts.sentinels) == 1024
