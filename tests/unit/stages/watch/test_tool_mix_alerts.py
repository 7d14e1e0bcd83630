"""Alerts of tool_mix in the stages, without Kafka: only answers with tool calls are evidence."""

from support.signal_log import score_tick, signal_event
from support.watch_chain import Chain

from detectors.streams.tool_mix import tool_features
from stream.stages.watch_app import stream_detectors

OPTIONS = {"alarm_every_events": 1_000, "reference_events": 100}
SECONDS = 5


def windows(first, count, calls, extra=0):
    """Return `count` windows: each has an answer for each list of called tools in `calls`, and `extra` answers without calls."""
    for window in range(first, first + count):
        features = [tool_features(names) for names in calls] + [{"characters": 9.0}] * extra
        for number, row in enumerate(features):
            time = window * SECONDS + number * SECONDS / len(features)
            key = "agent" if "tool_calls" in row else "chat"
            yield signal_event(f"{window}-{number}", time, side="output", features=row, principal=key)
        yield score_tick(0, {"s": (window + 1.0) * SECONDS})


def changed_calls():
    """Return a chain whose alert is firing, because the calls changed from two tools to a third tool."""
    chain = Chain({"*": {"bucket_seconds": SECONDS, "tool_mix": OPTIONS}}, stream_detectors, 1)
    chain.run(windows(200, 30, [["search"], ["read"]] * 5))
    chain.run(windows(230, 6, [["erase"]] * 10, extra=2))
    assert chain.alerts[-1].data.state == "firing"
    return chain


def test_a_finding_has_only_answers_with_calls_as_evidence():
    finding = changed_calls().alerts[0].data
    assert finding.detector == "tool_mix"
    assert finding.principals == {"agent": finding.events}
    assert {request.split("-")[1] for request in finding.evidence} <= {str(number) for number in range(10)}


def test_an_alert_resolves_after_the_tool_calls_stop():
    chain = changed_calls().run(windows(236, 75, [], extra=4))
    assert [event.data.state for event in chain.alerts if event.data.detector == "tool_mix"][-1] == "resolved"
