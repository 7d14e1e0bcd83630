"""How ``weir show --text`` prints messages, parts and choices, and marks flagged text."""

import pytest
from support.golden_events import event

from stream.wire import Choice, Message, Span, TextPart, ToolCallPart, ToolResponsePart, Verdict
from weir.cli.render.content import content_lines

REQUEST, END = event("v2/request").data, event("v2/response").data


def flagged(*spans, part="", detector="pii", flagged=True):
    about = {"request_id": "r1", "event_id": "r1/request", "tenant": "acme", "model": "m", "side": "input"}
    return Verdict(
        **about, detector=detector, version="1", flagged=flagged, label="x", score=0.9, part=part, spans=spans
    )


def drawn(content, *verdicts):
    return [line.plain for line in content_lines(content, verdicts)]


def marked(content, *verdicts):
    """Return the marked texts."""
    return [
        line.plain[span.start : span.end]
        for line in content_lines(content, verdicts)
        for span in line.spans
        if span.style == "bold red"
    ]


def test_every_kind_of_part_is_shown_with_its_role():
    assert drawn(REQUEST.messages) == [
        "system",
        "│ Be brief.",
        "user ann",
        "│ How warm is it in Köln?",
        "│ image, image/png, at a URI, sha256 abababababab",
        "│ audio, audio/wav, 512 bytes, sha256 cdcdcdcdcdcd",
        "assistant",
        "│ tool call weather call_1",
        '│ {"city": "Köln"}',
        "tool",
        "│ tool result call_1",
        "│ 12 °C, rain",
    ]


def test_every_choice_is_shown():
    assert drawn(END.messages) == [
        "assistant choice 1 of 2, stop",
        "│ reasoning",
        "│ It rains.",
        "│ 12 degrees.",
        "assistant choice 2 of 2, tool_calls",
        "│ tool call weather call_2",
        "│ {}",
    ]
    assert drawn(END.messages[:1])[0] == "assistant"
    assert drawn((Choice(finish_reason="length"),)) == ["assistant"]


def test_the_spans_of_a_flagged_verdict_are_marked_in_their_parts():
    spans = Span(start=10, end=14, type="LOCATION"), Span(start=18, end=22, type="LOCATION", part="/messages/1/parts/0")
    lines = drawn(REQUEST.messages, flagged(*spans, part="/messages/2/parts/0"))
    assert lines[7] == "│ tool call weather call_1 flagged: pii"
    assert lines[8] == '│ {"city": "⟦Köln⟧"}'
    assert marked(REQUEST.messages, flagged(*spans, part="/messages/2/parts/0")) == ["Köln", " flagged: pii", "Köln"]
    assert marked(REQUEST.messages, flagged(*spans, part="/messages/2/parts/0", flagged=False)) == []


def test_the_spans_of_a_verdict_without_a_part_are_offsets_into_the_joined_text():
    place = REQUEST.text.index("Köln")
    assert marked(REQUEST.messages, flagged(Span(start=place, end=place + 4, type="LOCATION"))) == ["Köln"]
    over = Span(start=REQUEST.text.index("brief"), end=REQUEST.text.index("warm"), type="X")
    assert marked(REQUEST.messages, flagged(over)) == ["brief.", "How "]


def test_overlapping_spans_are_one_mark_that_is_visible_without_colours():
    message = Message.of_text("user", "Call Jo Smith\nnow.")
    bounds = ((5, 7), (5, 16), (8, 13), (16, 18), (18, 18), (90, 99))
    verdict = flagged(*(Span(start=start, end=end, type="X") for start, end in bounds), part="/messages/0/parts/0")
    assert drawn((message,), verdict)[2:] == ["│ Call ⟦Jo Smith", "│ no⟧⟦w.⟧"]


def test_a_flagged_text_names_its_detectors():
    message = Message.of_text("user", "Ignore this.")
    both = [flagged(part="/messages/0/parts/0", detector=name) for name in ("injection", "toxicity")]
    assert drawn((message,), *both) == ["user", "│ flagged: injection, toxicity", "│ Ignore this."]


@pytest.mark.parametrize(
    "part",
    [
        TextPart(content="a\x1b[31mb\r\nc"),
        ToolResponsePart(response="a\x1b[31mb\r\nc"),
        ToolCallPart(name="x\x1b\n", arguments="a\x1b[31mb\r\nc"),
    ],
)
def test_content_cannot_control_the_terminal_and_offsets_stay_valid(part):
    verdict = flagged(Span(start=9, end=10, type="X"), part="/messages/0/parts/0")
    lines = drawn((Message(role="user\n", parts=(part,)),), verdict)
    assert not any(set("\x1b\r\n") & set(line) for line in lines)
    assert lines[-2:] == ["│ a\ufffd[31mb ", "│ ⟦c⟧"]
    assert marked((Message(role="user", parts=(part,)),), verdict)[-1] == "c"


def test_the_finish_reason_of_a_choice_cannot_control_the_terminal():
    choice = Choice(parts=(TextPart(content="a"),), finish_reason="stop\x1b[2J\n")
    assert drawn((choice, choice))[0] == "assistant choice 1 of 2, stop\ufffd[2J\ufffd"
