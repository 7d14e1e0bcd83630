"""The text of spans in the context of an answer's record, as `weir show --text` prints it."""

import msgspec
from support.events import an_end, event_of
from support.ledger_log import verdict

from stream.ledger.queries.request_story import EndNote, RecordLocation, RequestEvents, RequestStory, VerdictNote
from stream.wire import Message, Span, TextPart, Usage
from weir.cli.render.request_story import story_lines
from weir.operate.request_text import RequestText, quotes_of

SOURCE = "The bridge was opened in 1931.\nIt is long."
SPANS = (
    Span(start=0, end=4, type="UNSUPPORTED"),
    Span(start=4, end=42, type="SOURCE", part="/context/1/parts/0"),
    Span(start=0, end=4, type="SOURCE", part="/context/7/parts/0"),
)


def test_the_most_similar_sentence_of_the_source_is_printed_below_the_verdict():
    context = tuple(Message(role="user", parts=(TextPart(content=text),)) for text in ("Hello", SOURCE))
    data = an_end("r1", "The king paid.", context=context)
    event = event_of(data, "r1/end", 2.0)
    found = msgspec.structs.replace(verdict(event, "groundedness", flagged=True).data, spans=SPANS)
    quotes = quotes_of(data, [found])
    assert [(one.detector, one.type, one.text) for one in quotes] == [("groundedness", "SOURCE", SOURCE[4:])]

    place = {"topic": "weir.inference", "partition": 0, "offset": 7}
    location = RecordLocation(event_id="r1/end", side="output", type="x", time=2.0, **place)
    ended = EndNote(
        status="complete", finish_reason="stop", usage=Usage(), latency_seconds=1.0, time_to_first_token_seconds=None
    )
    notes = (VerdictNote(event_id="r1/end", time=2.0, verdict=found),)
    events = RequestEvents(tenant="acme", model="m", locations=(location,), end=ended, verdicts=notes)
    text = RequestText(choices=data.messages, answer=data.text, quotes=quotes)
    lines = [line.plain.strip() for line in story_lines(RequestStory(request_id="r1", events=events), text=text)]
    row = next(number for number, line in enumerate(lines) if "FLAGGED" in line)
    assert lines[row + 1 : row + 3] == ["SOURCE: bridge was opened in 1931.", "It is long."]
