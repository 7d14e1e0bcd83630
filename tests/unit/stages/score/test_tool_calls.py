"""The tool calls of an event that the detector `tools` reads."""

import msgspec
from support.doubles import asked, scored
from support.events import an_end, event_of

from detectors.registry import create_text
from serving.capture.shortened_record import shortened
from stream.stages.score.event_parts import MAX_PARTS, Item, readings
from stream.stages.score.machine import item_of, verdict
from stream.wire import Choice, DeclaredTool, Message, TextPart, ToolCallPart, ToolResponsePart


def calls_read(item):
    found, share = readings(item, create_text("tools"))
    return [(one.pointer, msgspec.json.decode(one.text)) for one in found], share


def test_the_tools_detector_reads_each_call_of_an_answer_with_its_declaration():
    declared = (
        DeclaredTool(name="get", parameters={"type": "object"}),
        DeclaredTool(name="large"),
        DeclaredTool(type="custom", name="sql"),
    )
    parts = tuple(ToolCallPart(name=name, arguments="{}") for name in ("get", "large", "sql", "other"))
    found, share = calls_read(item_of(an_end("r1", messages=(Choice(parts=parts),), tools=declared), ("tools",)))
    assert {call["calls"] for _, call in found} == {4}
    assert [(pointer, call.get("declared", True), call.get("parameters")) for pointer, call in found] == [
        ("/messages/0/parts/0", True, {"type": "object"}),
        ("/messages/0/parts/1", None, None),
        ("/messages/0/parts/2", True, None),
        ("/messages/0/parts/3", False, None),
    ]
    assert share == 1.0


def test_with_a_tool_of_the_provider_calls_of_any_name_count_as_declared():
    answer = (Choice(parts=(ToolCallPart(name="search_issues", arguments="{}"),)),)
    hosted = (DeclaredTool(type="mcp", name="tracker"),)
    assert "declared" not in calls_read(item_of(an_end("r1", messages=answer, tools=hosted)))[0][0][1]
    assert calls_read(item_of(an_end("r1", messages=answer)))[0][0][1]["declared"] is None
    assert calls_read(item_of(an_end("r1", messages=answer, tools=())))[0][0][1]["declared"] is False


def test_the_calls_of_an_answer_that_was_shortened_for_kafka_are_not_checked():
    declared = (DeclaredTool(name="get", parameters={"type": "object"}),)
    parts = (
        TextPart(content="x" * 900),
        ToolCallPart(name="get", arguments=msgspec.json.encode({"a": "y" * 300}).decode()),
    )
    whole = an_end("r1", messages=(Choice(parts=parts),), tools=declared)
    short = shortened(whole, len(msgspec.json.encode(whole)) - 100)
    assert 0 < len(short.messages[0].parts[1].text) < len(parts[1].text)
    for record, label in ((whole, "ok"), (short, "error")):
        score = scored(create_text("tools"), item_of(record, ("pii",)))[0]
        found = verdict(event_of(record, "r1/end", 1.0), "tools", "1", score)
        assert (found.flagged, found.label) == (False, label)


def test_the_tools_detector_counts_the_equal_calls_of_a_history():
    def step(number, result, call="get"):
        parts = (ToolCallPart(name=call, id=f"c{number}"),)
        return Message(role="assistant", parts=parts), Message(
            role="tool", parts=(ToolResponsePart(response=result, id=f"c{number}"),)
        )

    history = [message for number in range(4) for message in step(number, "none")]
    item = asked(Message.of_text("user", "look"), *history, *step(4, "none", "put"), detectors=("tools",))
    found, _ = calls_read(item)
    assert [call.get("times", 1) for _, call in found] == [1, 2, 3, 4, 1]
    detector = create_text("tools")
    score = scored(detector, Item(parts=item.parts, detectors=("pii",)))[0]
    assert (score.label, score.flagged, score.part, score.covered) == ("loop", True, "/messages/7/parts/0", 1.0)
    many, share = calls_read(asked(*[step(number, "", f"f{number}")[0] for number in range(80)]))
    assert (len(many), share) == (MAX_PARTS, MAX_PARTS / 80)
    assert calls_read(asked(Message.of_text("user", "hello"))) == ([], 1.0)
