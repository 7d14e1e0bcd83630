"""The encoding of request and end records, which have their own function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import TRACE, a_request, an_end

from serving.capture import event_encoding as encoding
from serving.capture.segment import OpenRequest, parse, record_of
from stream.telemetry import MAX_TRACESTATE_BYTES
from stream.wire import Event, LabelRecord, decode, encode

SOURCE, TIME = "gateway-1", 1_767_225_600_123_456


@pytest.mark.parametrize("conversation", ["", "Gespräch 1"])
@pytest.mark.parametrize(("traceparent", "tracestate"), [("", ""), (TRACE, ""), (TRACE, "vendor=1")])
@pytest.mark.parametrize("status", ["complete", "error", "aborted"])
def test_the_bytes_are_those_of_the_general_encoding_function(conversation, traceparent, tracestate, status):
    request = a_request("a", conversation_id=conversation)
    opened = encoding.opened(request, SOURCE, traceparent, tracestate)
    end = an_end("a", status=status, conversation_id=conversation)
    frames = parse(encoding.request(opened, request, 7, TIME) + encoding.end(opened, end, 8, TIME))
    assert [(frame.number, frame.time) for frame in frames] == [(7, TIME), (8, TIME)]
    for record in map(record_of, frames):
        event = decode(record.value, record.headers)
        assert (event.correlationid, event.traceparent, event.tracestate) == ("a", traceparent, tracestate)
        assert isinstance(event, Event)
        assert encode(event) == record


def test_the_aborted_end_of_a_copy_names_the_users_request():
    """Without this id, drift, anomalies and the gates of retraining count the answer of the copy as a user's answer."""
    copy = a_request("b", shadow_of="a")
    opened = encoding.opened(copy, SOURCE, "")
    for end in (an_end("b", status="aborted", shadow_of="a"), encoding.aborted_end(copy)):
        (record,) = map(record_of, parse(encoding.end(opened, end, 1, TIME)))
        assert decode(record.value, record.headers).data.shadow_of == "a"


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    names=st.fixed_dictionaries(
        dict.fromkeys(("tenant", "model", "model_version", "principal", "conversation_id", "operation"), text)
    ),
    traceparent=st.sampled_from(["", TRACE]),
    tracestate=st.text("kv=1", max_size=MAX_TRACESTATE_BYTES),
)
def test_the_frame_of_a_request_is_at_least_as_large_as_its_entry_in_a_head(names, traceparent, tracestate):
    """For this reason the writer checks the size of an entry only if the frame is larger than the limit of an entry."""
    request = a_request("a", "", messages=(), owed=(), **names)
    opened = encoding.opened(request, SOURCE, traceparent, tracestate)
    entry = encoding.entry(opened)
    assert isinstance(entry, OpenRequest)
    assert len(encoding.request(opened, request, 1, TIME)) >= entry.size_bytes


def test_a_later_judgment_with_the_same_label_id_is_another_event():
    """A consumer ignores a second event with the same source and id."""

    def sent(at, value):
        label = LabelRecord(label_id="l", request_id="r", tenant="acme", at=at, value=value)
        record = encoding.judgment(label, encoding.Stamp("gateway-1", 1), identity="", conversation_id="")
        return decode(record.value, record.headers).id

    assert sent(1.0, 0.0) == sent(1.0, 0.0) != sent(2.5, 1.0)
