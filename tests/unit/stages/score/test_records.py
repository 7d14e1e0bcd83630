"""The records of one scored event, without a broker."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from aiokafka.errors import MessageSizeTooLargeError
from opentelemetry.sdk.trace import TracerProvider
from support.events import a_request, an_end, event_of
from support.score_stack import end, request

from detectors.base import Turn
from stream.stages.score.agent import ScoreAgent
from stream.stages.score.event_features import embedded, sampled, signal_texts
from stream.stages.score.event_parts import EventScore
from stream.stages.score.machine import expected_detectors, item_of, verdicts
from stream.stages.score.model_pool import Failed
from stream.stages.score.model_process import Scored
from stream.stages.score.records import finding_event, signal_events, verdict_event
from stream.stages.score.spans import ScoreSpans
from stream.stages.watch.buckets import observation_of
from stream.wire import Choice, DeclaredTool, Message, Span, TextPart, ToolCallPart, ToolResponsePart, encode

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-aaaaaaaaaaaaaaaa-01"
ASK = request("r1", "hello there 5551234", owed=("pii", "pii", "toxicity"))


def score(value=0.9, *, flagged=True, covered=1.0, label="found", spans=()):
    return EventScore(score=value, label=label, flagged=flagged, covered=covered, spans=spans)


def outcome(**scores):
    return Scored(scores=scores, versions=dict.fromkeys(scores, "2"))


def signal_of(event, result, traceparent):
    (signal,) = signal_events(event, result, traceparent)
    return signal


def the_verdicts(event, result):
    return {verdict.detector: verdict for verdict in verdicts(event, result, lambda _: "0")}


def test_each_expected_detector_has_one_verdict():
    found = verdicts(ASK, outcome(pii=score(), toxicity=score(0.1, flagged=False, label="ok")), lambda _: "0")
    assert [(verdict.detector, verdict.version, verdict.label) for verdict in found] == [
        ("pii", "2", "found"),
        ("toxicity", "2", "ok"),
    ]


@pytest.mark.parametrize("result", [Failed(disposition="timeout", error="TimeoutError"), Scored()])
def test_a_detector_without_a_score_has_an_error_verdict(result):
    for verdict in the_verdicts(ASK, result).values():
        assert (verdict.label, verdict.flagged, verdict.covered, verdict.version) == ("error", False, 0.0, "0")
        assert finding_event(ASK, verdict, TRACEPARENT) is None


@pytest.mark.parametrize(("flagged", "label"), [(False, "error"), (True, "found")])
def test_a_partly_read_text_is_an_error_unless_it_is_flagged(flagged, label):
    found = the_verdicts(ASK, outcome(pii=score(flagged=flagged, covered=0.5), toxicity=score()))
    assert found["pii"].label == label
    assert found["pii"].covered == 0.5


@pytest.mark.parametrize("text", ["", "x"])
def test_an_end_expects_the_verdicts_that_its_record_names(text):
    assert expected_detectors(end("r1", text).data) == ("pii", "toxicity", "refusal")
    assert expected_detectors(end("r1", text, owed=()).data) == ()


def test_an_answer_has_the_prompt_in_its_record_as_context():
    turns = (Message.of_text("system", "Be kind."), Message.of_text("user", "Wie geht es dir?"))
    data = msgspec.structs.replace(end("r1", "Fine.").data, context=turns)
    item = item_of(data, ("language",))
    assert (item.text, item.detectors) == ("Fine.", ("language",))
    assert item.context == (
        Turn(role="system", content="Be kind.", pointer="/context/0/parts/0"),
        Turn(role="user", content="Wie geht es dir?", pointer="/context/1/parts/0"),
    )
    assert item_of(ASK.data, ()).context == ()


def test_each_part_of_the_context_is_a_turn_with_its_pointer_and_a_tool_result_has_the_role_tool():
    parts = (TextPart(content="look"), ToolResponsePart(response="12 degrees", id="c"))
    data = msgspec.structs.replace(end("r1", "Fine.").data, context=(Message(role="user", parts=parts),))
    assert item_of(data, ("groundedness",)).context == (
        Turn(role="user", content="look", pointer="/context/0/parts/0"),
        Turn(role="tool", content="12 degrees", pointer="/context/0/parts/1"),
    )


def test_ids_and_bytes_are_the_same_if_an_event_is_scored_again():
    def made(value):
        result = outcome(pii=score(value), toxicity=score(value))
        events = [verdict_event(ASK, verdict, TRACEPARENT) for verdict in verdicts(ASK, result, lambda _: "0")]
        events += [finding_event(ASK, verdict, TRACEPARENT) for verdict in verdicts(ASK, result, lambda _: "0")]
        return [*events, signal_of(ASK, result, TRACEPARENT)]

    assert [encode(event) for event in made(0.9)] == [encode(event) for event in made(0.9)]
    assert [event.id for event in made(0.9)] == [event.id for event in made(0.9000001)]


def test_refusal_is_a_feature_and_no_finding():
    answer = end("r1", "I cannot help with that", owed=("refusal", "pii"))
    result = outcome(refusal=score(), pii=score())
    found = the_verdicts(answer, result)
    assert finding_event(answer, found["refusal"], TRACEPARENT) is None
    assert finding_event(answer, found["pii"], TRACEPARENT) is not None
    assert signal_of(answer, result, TRACEPARENT).data.features["score_refusal"] == 0.9


def test_a_finding_has_the_number_of_spans_of_each_type_and_no_text():
    spans = tuple(Span(start=n, end=n + 1, type="PERSON" if n else "LOCATION", score=1.0) for n in range(3))
    found = the_verdicts(ASK, outcome(pii=score(spans=spans), toxicity=score()))
    finding = finding_event(ASK, found["pii"], TRACEPARENT)
    assert finding.data.details == {"LOCATION": 1.0, "PERSON": 2.0}
    assert finding.partitionkey == "acme\x1fm\x1finput"
    assert "5551234" not in msgspec.json.encode(finding.data).decode()


def test_a_signal_has_the_features_that_the_stream_detectors_read():
    asked = signal_of(ASK, Scored(embeddings={"": b"xx"}, embedding_version="e1"), TRACEPARENT)
    assert asked.id == "r1/request/signal"
    assert asked.data.features == {"characters": 19, "words": 3, "prompt_chars": 19, "prompt_words": 3, "messages": 1}
    assert (asked.data.embedding, asked.data.embedding_version, asked.data.principal) == (b"xx", "e1", "key-1")
    answered = signal_of(end("r1", "two words"), Scored(), TRACEPARENT).data.features
    assert answered["time_to_first_token_seconds"] == 0.1
    assert (answered["prompt_tokens"], answered["completion_tokens"]) == (3, 5)
    failed = signal_of(end("r1", "", status="error"), Scored(), TRACEPARENT).data.features
    assert failed["error"] == 1.0
    assert "latency_seconds" not in failed
    answer = end("r1", "two words")
    unknown = msgspec.structs.replace(answer, data=msgspec.structs.replace(answer.data, latency_seconds=0.0))
    assert answered.items() - signal_of(unknown, Scored(), TRACEPARENT).data.features.items() == {
        ("latency_seconds", 0.5)
    }


@pytest.mark.parametrize("event", [ASK, end("r1", "yes")], ids=["request", "answer"])
def test_the_detectors_get_the_digests_of_the_turns(event):
    event = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, turns=("b", "a")))
    assert observation_of(signal_of(event, Scored(), TRACEPARENT).data).turns == ("b", "a")


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_sample_is_uniform_and_deterministic(share):
    ids = [f"r{number}/request" for number in range(4000)]
    chosen = [name for name in ids if sampled(name, share)]
    assert chosen == [name for name in ids if sampled(name, share)]
    assert abs(len(chosen) / len(ids) - share) < 0.03
    assert {name for name in ids if sampled(name, share / 2)} <= set(chosen)


def test_the_signal_of_an_answer_has_its_tool_calls():
    parts = tuple(ToolCallPart(name=name) for name in ("search", "read"))
    event = event_of(an_end("r1", messages=(Choice(parts=parts),)), "r1/end", 1.0)
    features = signal_of(event, Scored(), TRACEPARENT).data.features
    assert (features["tool_calls"], sum(name.startswith("tool_bucket_") for name in features)) == (2.0, 2)
    plain = signal_of(event_of(an_end("r1"), "r1/end", 1.0), Scored(), TRACEPARENT).data.features
    assert not any(name.startswith("tool_") for name in plain)


AGENT = (
    Message.of_text("system", "You are an agent."),
    Message.of_text("user", "old turn"),
    Message(role="assistant", parts=(ToolCallPart(name="get", id="c1"),)),
    Message(role="tool", parts=(ToolResponsePart(response="new result", id="c1"),)),
    Message.of_text("user", "new turn"),
)


def test_by_part_a_request_has_one_signal_for_the_newest_turns_and_one_for_the_newest_tool_results():
    event = event_of(a_request("r1", messages=AGENT), "r1/request", 1.0)
    embed = embedded(event.id, event.data, 1.0, by_part=True)
    assert embed == {"prompt": "new turn", "tool_result": "new result"}
    result = Scored(
        scores={"pii": score(0.7)}, embeddings={"prompt": b"p", "tool_result": b"t"}, embedding_version="e1"
    )
    signals = {one.data.part: one for one in signal_events(event, result, TRACEPARENT, by_part=True)}
    assert {part: one.data.embedding for part, one in signals.items()} == {"prompt": b"p", "tool_result": b"t"}
    assert {one.id for one in signals.values()} == {"r1/request/signal/prompt", "r1/request/signal/tool_result"}
    assert {one.partitionkey for one in signals.values()} == {
        "acme\x1fm\x1finput\x1fprompt",
        "acme\x1fm\x1finput\x1ftool_result",
    }
    assert signals["prompt"].data.features["score_pii"] == 0.7
    assert signals["prompt"].data.features["characters"] == len("new turn")
    assert signals["tool_result"].data.features == {"characters": 10.0, "words": 2.0}


@pytest.mark.parametrize(
    ("messages", "parts"),
    [
        (AGENT[:2], {"prompt": "old turn"}),
        (AGENT[:4], {"tool_result": "new result"}),
        ((*AGENT[:2], Message.of_text("assistant", "So")), {"prompt": "old turn"}),  # a prefilled answer
        ((*AGENT, Message.of_text("assistant", "So")), {"prompt": "new turn", "tool_result": "new result"}),
        ((), {"prompt": ""}),
    ],
)
def test_by_part_an_agents_step_without_a_new_turn_has_no_prompt_signal(messages, parts):
    assert signal_texts(a_request("r1", messages=messages), by_part=True) == parts


def test_by_part_an_answer_has_one_signal():
    event = event_of(an_end("r1", "Hello"), "r1/end", 1.0)
    (signal,) = signal_events(event, Scored(), TRACEPARENT, by_part=True)
    assert (signal.data.part, signal.data.features["characters"]) == ("answer", 5.0)


def test_by_default_a_signal_has_no_part():
    signal = signal_of(event_of(a_request("r1", messages=AGENT), "r1/request", 1.0), Scored(), TRACEPARENT)
    assert (signal.id, signal.partitionkey) == ("r1/request/signal", "acme\x1fm\x1finput")
    assert b"part" not in encode(signal).value


def test_a_shadow_answer_has_verdicts_and_neither_findings_nor_signals():
    event = end("r1", "hello there 5551234", owed=("pii",))
    shadow = msgspec.structs.replace(
        event, data=msgspec.structs.replace(event.data, shadow_of="r0", model_version="m_0123456789ab")
    )
    (verdict,) = verdicts(shadow, outcome(pii=score()), lambda _: "0")
    assert (verdict.flagged, verdict.model_version) == (True, "m_0123456789ab")
    assert finding_event(shadow, verdict, TRACEPARENT) is None
    assert signal_events(shadow, outcome(pii=score()), TRACEPARENT) == []


def test_findings_and_signals_of_a_trained_version_have_their_own_keys():
    event = end("r1", "hello there 5551234", owed=("pii",))
    trained = msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, model_version="m_0123456789ab"))
    keys = []
    for one in (event, trained):
        (verdict,) = verdicts(one, outcome(pii=score()), lambda _: "0")
        keys.append((finding_event(one, verdict, "").partitionkey, signal_of(one, outcome(), "").partitionkey))
    assert keys[0][0] == keys[0][1]
    assert keys[1] == tuple(f"{key}\x1f\x1fm_0123456789ab" for key in keys[0])


@pytest.mark.parametrize("named", [False, True])
def test_called_tools_are_named_only_if_the_tenant_allows_it(named):
    calls = (Choice(parts=(ToolCallPart(name="search"), ToolCallPart(name="undeclared"))),)
    event = event_of(an_end("r1", messages=calls, tools=(DeclaredTool(name="search"),)), "r1/end", 1.0)
    (signal,) = signal_events(event, Scored(), TRACEPARENT, name_tools=named)
    assert [name for name in signal.data.features if name.startswith("tool:")] == (["tool:search"] if named else [])
    assert signal.data.features["tool_calls"] == 2.0


def test_a_null_traceparent_of_the_record_makes_no_link():
    """Kafka allows null headers."""
    message = SimpleNamespace(headers=(("traceparent", None),), partition=0, offset=1)
    span = ScoreSpans(TracerProvider(), "topic", "group").process(message, ASK)
    assert not span.links


async def test_all_outputs_are_acknowledged_before_an_oversize_one_is_an_error():
    sent = []

    class Publisher:
        async def publish(self, topic, event, **_):
            if topic == "signals":
                raise MessageSizeTooLargeError
            await asyncio.sleep(0)
            sent.append(topic)

    names = SimpleNamespace(verdicts="verdicts", signals="signals", findings="findings")
    app = SimpleNamespace(kafka=SimpleNamespace(names=names, stream_partitions=2), publisher=Publisher())
    outputs = [*signal_events(ASK, Scored(), TRACEPARENT), verdict_event(ASK, the_verdicts(ASK, Scored())["pii"], "")]
    with pytest.raises(MessageSizeTooLargeError):
        await ScoreAgent(app, SimpleNamespace(outstanding=8))._publish(0, outputs)
    assert sent == ["verdicts"]
