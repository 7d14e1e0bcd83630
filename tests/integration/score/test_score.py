"""The verdicts, findings, signals and ticks that score publishes for an event."""

import time

import msgspec
import pytest
from support.conventions import departures, exported
from support.doubles import DOUBLES
from support.events import TRACE, closed, tick
from support.score_stack import end, request
from support.stage_lab import P, Q

from stream.wire import (
    Event,
    ExplanationRecord,
    FindingRecord,
    GapRecord,
    Message,
    Signal,
    Tick,
    ToolResponsePart,
    Verdict,
    partition_for,
)
from stream.wire.ids import event_finding_id, verdict_id
from stream.wire.trace import TraceParent

pytestmark = pytest.mark.kafka


async def test_an_exchange_has_verdicts_findings_and_signals(either):
    lab, app = either, either.score_app()
    ask, answer = request("r1", "call me at 5551234"), end("r1", "no numbers here")
    await lab.append(ask, answer)
    async with lab.running(app):
        await lab.settled(app)
    verdicts = [(record, event) for record, event in await lab.verdicts() if isinstance(event.data, Verdict)]
    assert {(event.data.event_id, event.data.detector) for _, event in verdicts} == {
        *(("r1/request", name) for name in ("pii", "toxicity", "injection")),
        *(("r1/end", name) for name in ("pii", "toxicity", "refusal")),
    }
    for record, event in verdicts:
        data = event.data
        assert event.id == verdict_id(data.event_id, data.detector, "test-1")
        assert (event.source, event.causationid, event.correlationid) == ("weir/score", data.event_id, "r1")
        assert (record.key, record.partition) == (ask.partitionkey.encode(), partition_for(ask.partitionkey, P))
        assert data.flagged == (data.side == "input")
        assert event.traceparent == dict(record.headers)["traceparent"].decode()
    findings = {
        event.data.detector: event for _, event in await lab.findings() if isinstance(event.data, FindingRecord)
    }
    assert set(findings) == {"pii", "toxicity", "injection"}
    pii = findings["pii"]
    assert pii.id == event_finding_id("r1/request", "pii", "test-1")
    assert pii.causationid == verdict_id("r1/request", "pii", "test-1")
    assert (pii.data.bucket, pii.data.evidence, pii.data.time) == (None, ("r1",), ask.time)
    signals = {event.data.side: event.data for _, event in await lab.signals() if isinstance(event.data, Signal)}
    assert signals["input"].features["prompt_words"] == 4
    assert signals["input"].features["score_pii"] == 0.9
    assert signals["output"].features["latency_seconds"] == 0.5
    assert signals["output"].features["error"] == 0.0
    assert "5551234" not in repr(await lab.verdicts()) + repr(await lab.signals()) + repr(await lab.findings())


async def test_spans_join_the_trace_of_the_request_and_link_to_their_batch(lab):
    app = lab.score_app()
    await lab.append(request("r1", "call 5551234"), request("r2", "hello"))
    async with lab.running(app):
        await lab.settled(app)
    spans = lab.exporter.get_finished_spans()
    trace_id = int(TraceParent.parse(TRACE).trace_id, 16)
    processes = [s for s in spans if s.name == f"process {lab.names.inference}" and s.context.trace_id == trace_id]
    batches = [s for s in spans if s.name == f"process {lab.names.inference}" and s.context.trace_id != trace_id]
    assert len(processes) == 2
    for process in processes:
        assert f"{process.parent.span_id:016x}" == TraceParent.parse(TRACE).span_id
        assert {link.context.span_id for link in process.links} & {batch.context.span_id for batch in batches}
        below = [s for s in spans if s.parent and s.parent.span_id == process.context.span_id]
        assert {s.name for s in below} == {"evaluate pii", "evaluate toxicity", "evaluate injection"}
        assert all(s.events[0].name == "gen_ai.evaluation.result" for s in below)
        assert {s.attributes["weir.flagged"] for s in below} <= {True, False}
    assert len([s for s in spans if s.attributes.get("weir.flagged")]) == 3  # the doubles flag digits; r2 has no digits
    assert departures(exported(spans)) == []
    assert {link.context.span_id for batch in batches for link in batch.links} == {s.context.span_id for s in processes}
    assert "5551234" not in repr([(s.attributes, [e.attributes for e in s.events]) for s in spans])


async def test_undecodable_records_become_dead_letters_and_the_others_are_scored(either):
    lab, app = either, either.score_app()
    await lab.append(request("r1", "hello"))
    for garbage in (b"\xff\x00garbage", b"{}", b""):
        await lab.append(garbage, partition=0)
        await lab.append(garbage, partition=1)
    await lab.append(request("r2", "hello"))
    async with lab.running(app):
        await lab.settled(app)
    assert {event.data.request_id for _, event in await lab.verdicts()} == {"r1", "r2"}
    dead = await lab.dead()
    assert len(dead) == 6
    assert {record.value for record in dead} == {b"\xff\x00garbage", b"{}", b""}
    headers = dict(dead[0].headers)
    assert headers["__weir.errors.topic"].decode() == lab.names.inference
    assert headers["__weir.errors.exception.class.name"] == b"DecodeError"
    assert b"is not" in headers["__weir.errors.reason"]


async def test_an_end_without_text_has_a_signal_and_if_not_aborted_its_verdicts(lab):
    app = lab.score_app()
    aborted = end("r1", "", status="aborted", kind="weir.inference.aborted.v1")
    gap = GapRecord(source="s1", first_number=1, last_number=2, count=2, reason="full")
    await lab.append(aborted, end("r2", "", status="cancelled"))
    await lab.append(Event(id="gap", source="s1", type=gap.event_type, time=200.0, data=gap))
    async with lab.running(app):
        await lab.settled(app)
    found = [event.data for _, event in await lab.verdicts()]
    assert {(one.request_id, one.label, one.flagged, one.covered) for one in found} == {("r2", "ok", False, 1.0)}
    assert len(found) == 3
    signals = {event.data.request_id: event.data for _, event in await lab.signals()}
    assert (signals["r1"].status, signals["r1"].features["error"]) == ("aborted", 1.0)
    assert (signals["r2"].status, signals["r2"].features["cancelled"]) == ("cancelled", 1.0)
    assert not await lab.dead()


async def test_a_verdict_names_its_part_and_a_request_with_only_a_tool_result_is_scored(lab):
    app = lab.score_app()
    result = Message(role="tool", parts=(ToolResponsePart(response="call 5551234", id="c1"),))
    await lab.append(request("r1", "", messages=(Message.of_text("system", "be brief"), result)))
    await lab.append(request("r2", "", messages=(Message.of_text("system", "call 5551234"),)))
    async with lab.running(app):
        await lab.settled(app)
    found = {(event.data.request_id, event.data.detector): event.data for _, event in await lab.verdicts()}
    assert {name: (one.flagged, one.part) for name, one in found.items()} == {
        ("r1", "pii"): (True, "/messages/1/parts/0"),
        ("r1", "toxicity"): (True, "/messages/1/parts/0"),
        ("r1", "injection"): (True, "/messages/1/parts/0"),
        ("r2", "pii"): (True, "/messages/0/parts/0"),
        ("r2", "toxicity"): (True, "/messages/0/parts/0"),
        ("r2", "injection"): (False, ""),
    }
    assert [(span.start, span.end, span.part) for span in found["r1", "pii"].spans] == [(5, 12, "")]
    assert found["r2", "injection"].covered == 1.0


async def test_a_partly_read_text_without_a_finding_and_an_unknown_detector_are_errors(lab):
    app = lab.score_app()
    await lab.append(request("r1", "HALF of it", owed=("pii", "unheard-of")))
    async with lab.running(app):
        await lab.settled(app)
    found = {event.data.detector: event.data for _, event in await lab.verdicts()}
    assert (found["pii"].label, found["pii"].covered, found["pii"].flagged) == ("error", 0.5, False)
    assert (found["unheard-of"].label, found["unheard-of"].version) == ("error", "unknown")


async def test_events_that_break_a_detector_are_dead_letters_and_the_rest_of_the_batch_is_scored(lab):
    app = lab.score_app(deadline_seconds=1)
    texts = {"r1": "one", "r2": "two HANG", "r3": "three 5551234", "r4": "four CRASH"}
    await lab.append(*(request(name, text) for name, text in texts.items()))
    async with lab.running(app):
        await lab.settled(app)
    labels = {}
    for _, event in await lab.verdicts():
        labels.setdefault(event.data.request_id, []).append(event.data.label)
    assert labels == {"r1": ["clear"] * 3, "r2": ["error"] * 3, "r3": ["found"] * 3, "r4": ["error"] * 3}
    found = {dict(record.headers)["__weir.errors.disposition"]: record for record in await lab.dead()}
    assert set(found) == {b"timeout", b"bug"}
    assert b"HANG" in found[b"timeout"].value
    assert b"CRASH" in found[b"bug"].value
    assert all(
        b"HANG" not in value and b"CRASH" not in value for record in found.values() for _, value in record.headers
    )
    assert {event.data.request_id for _, event in await lab.signals()} == set(texts)


async def test_a_tick_never_overtakes_an_output(lab):
    app = lab.score_app(batch_events=2, spec=msgspec.structs.replace(DOUBLES, options={"pii": {"seconds": 0.05}}))
    for second in range(4):
        at = 100.0 + second
        await lab.append(*(request(f"r{second}-{n}", "hello 12345", at=at + n / 10) for n in range(5)), tick(at + 0.9))
    await lab.append(closed(104.0))
    async with lab.running(app):
        await lab.settled(app)
    records = sorted(await lab.verdicts(), key=lambda pair: (pair[0].partition, pair[0].offset))
    for partition in range(P):
        said: dict[str, float] = {}
        for record, event in records:
            if record.partition != partition:
                continue
            if isinstance(event.data, Tick):
                assert (event.data.stage, event.data.partition) == ("score", partition)
                said |= event.data.sources
            else:
                assert event.time > said.get("s1", 0.0)
        assert said == {"s1": 104.0}
    signals = [(record, event.data) for record, event in await lab.signals() if isinstance(event.data, Tick)]
    for number in range(Q):
        heard = {data.partition: data for record, data in signals if record.partition == number}
        assert set(heard) == set(range(P))
        assert all("s1" in data.closed for data in heard.values())


async def test_an_explanation_is_published_beside_the_verdicts_without_text(lab):
    app, ask = lab.score_app(explain_findings=1), request("r1", "call me at 5551234", owed=("toxicity",))
    await lab.append(ask, request("r2", "call me at 5551234", owed=("toxicity",)))

    async def explained():
        return [pair for pair in await lab.verdicts() if isinstance(pair[1].data, ExplanationRecord)]

    async with lab.running(app):
        await lab.settled(app)
        await lab.eventually(explained)
    ((record, event),) = await explained()
    asked = request(event.correlationid, "")
    assert (record.key, record.partition) == (asked.partitionkey.encode(), partition_for(asked.partitionkey, P))
    assert (11, 18) in {(word.start, word.end) for word in event.data.words}
    assert b"5551234" not in record.value
    assert len([event for _, event in await lab.verdicts() if isinstance(event.data, Verdict)]) == 2


async def test_a_clock_that_is_ahead_by_years_moves_no_output_past_an_hour_after_its_record(lab):
    """The watermark never decreases, so that one tick with such a time would stop the windows for years."""
    app, years = lab.score_app(), time.time() + 10 * 365 * 86_400
    await lab.append(request("r1", "call 5551234", at=years), tick(years), closed(years))
    async with lab.running(app):
        await lab.settled(app)
    times = {record.timestamp / 1000 for record in await lab.read(lab.names.inference, P)}
    stored = max(times)
    events = [event for topic in (lab.verdicts, lab.signals, lab.findings) for _, event in await topic()]
    assert {type(event.data) for event in events} == {Verdict, Signal, FindingRecord, Tick}
    assert max(event.time for event in events) <= stored + 3600
    ticks = [event.data for event in events if isinstance(event.data, Tick)]
    assert max(at for item in ticks for at in item.sources.values()) <= stored + 3600
    assert {item.logged for item in ticks} <= times
