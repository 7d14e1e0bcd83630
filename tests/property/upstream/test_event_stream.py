"""The parser of server-sent events: the result does not depend on how the bytes are split."""

from hypothesis import given
from hypothesis import strategies as st

from serving.upstream.event_stream import EventParser

LINE = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1, max_size=12)
LINES = st.one_of(
    st.sampled_from(
        ["", "", "data", "data:", "data: [DONE]", ": comment", "id: 3", "event: error", "nonsense", "\ufeff"]
    ),
    LINE.map("data: {}".format),
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=20).map(lambda rows: "".join(line + end for line, end in rows))


def parsed(pieces):
    parser = EventParser(1024)
    return [event for piece in pieces for event in parser.feed(piece)] + list(parser.finish())


@given(st.one_of(STREAMS.map(str.encode), st.binary(max_size=60)), st.data())
def test_any_split_of_the_bytes_gives_the_same_events(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = parsed([stream])
    assert parsed(pieces) == expected
    assert parsed([bytes([byte]) for byte in stream]) == expected


@given(st.lists(LINE, min_size=1, max_size=4), ENDS)
def test_an_event_has_the_lines_that_were_sent(lines, end):
    sent = "".join(f"data: {line}{end}" for line in lines) + f"event: x{end}{end}"
    (event,) = parsed([sent.encode()])
    assert event == ("x", "\n".join(lines).encode())
