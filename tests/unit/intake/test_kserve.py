import base64
import json

import msgspec
import pytest
from support.intake import kserve_headers, kserve_structured

from serving.api_keys import Principal
from serving.intake.errors import Unreadable
from serving.intake.kserve import events_of, told_by_kserve
from serving.intake.reported_exchange import Owed, records_of
from stream.wire import Message

WHO = Principal(id="k_1", tenant="acme")
ASKED = {"model": "qwen-2", "messages": [{"role": "user", "content": "hi"}]}
ANSWERED = {"choices": [{"message": {"content": "ho"}, "finish_reason": "stop"}]}


def told(headers, body):
    return [told_by_kserve(event, WHO) for event in events_of(headers, body)]


def one(half, body, **changes):
    (found,) = told(kserve_headers(half, **changes), json.dumps(body).encode())
    return found


def test_both_halves_of_an_exchange_have_one_identity_and_make_its_records():
    asked, answered = one("request", ASKED), one("response", ANSWERED)
    assert asked.identity == answered.identity
    assert (asked.answered, answered.asked) == (None, None)
    request, end = records_of(msgspec.structs.replace(asked, answered=answered.answered), Owed(input=("pii",)))
    assert (request.model, request.model_version) == ("qwen-2", "chat/predictor/default")
    assert (request.conversation_id, request.principal) == ("c-9", "k_1")
    assert request.messages == (Message(role="user", content="hi"),)
    assert (end.text, end.latency_seconds) == ("ho", 1.5)


def test_without_a_name_in_the_body_the_model_is_the_service():
    assert one("request", {"instances": ["hi"]}).asked.model == "qwen"
    assert one("response", {"predictions": ["hi"]}).answered.model == "qwen"


def test_an_answer_that_was_streamed():
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "ho"}}]})
    (found,) = told(kserve_headers("response"), f"data: {chunk}\n\ndata: [DONE]\n\n".encode())
    assert found.answered.text == "ho"


@pytest.mark.parametrize("coded", [False, True])
def test_structured_and_batched(coded):
    data = json.dumps(ASKED).encode() if coded else ASKED
    event = kserve_structured("request", data, coded=coded)
    expected = one("request", ASKED)
    assert told({"content-type": "application/cloudevents+json; charset=utf-8"}, json.dumps(event).encode()) == [
        expected
    ]
    batch = json.dumps([event, event]).encode()
    assert told({"content-type": "application/cloudevents-batch+json"}, batch) == [expected, expected]


def test_a_binary_events_attributes_are_percent_encoded():
    found = one("request", ASKED, **{"ce-metadata": "%7B%22X-Weir-Conversation-Id%22%3A%5B%22Gr%C3%BC%C3%9Fe%22%5D%7D"})
    assert found.sender.conversation == "Grüße"


def test_the_trace_is_the_events_own_or_the_requests():
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert one("request", ASKED, traceparent=trace).sender.traceparent == trace
    assert one("request", ASKED, **{"ce-traceparent": trace, "traceparent": "x"}).sender.traceparent == trace


@pytest.mark.parametrize("metadata", ["", "[]", "{", '{"A": "b"}', '{"X-Weir-Conversation-Id": []}'])
def test_metadata_that_names_no_conversation(metadata):
    assert one("request", ASKED, **{"ce-metadata": metadata}).sender.conversation == ""


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        (kserve_headers("request", **{"ce-id": ""}), b"{}", "the CloudEvent has no id"),
        ({"content-type": "application/json"}, b"{}", "the CloudEvent has no id, source, type"),
        (kserve_headers("feedback"), b"{}", "it must be org.kubeflow.serving.inference.request or"),
        (kserve_headers("request"), b"{}", "the body has no fields"),
        (kserve_headers("request"), b"\x80", "1 bytes are no JSON text"),
        (kserve_headers("request", **{"content-type": "application/octet-stream"}), b"x", "V2's binary tensors"),
        ({"content-type": "application/cloudevents+json"}, b"[]", "the event is no JSON object"),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}", "the batch is no list"),
        (
            {"content-type": "application/cloudevents+json"},
            json.dumps(kserve_structured("request", {}) | {"data_base64": "?"}).encode(),
            "is not Base64",
        ),
    ],
)
def test_what_is_no_event_of_the_logger_is_refused(headers, body, message):
    with pytest.raises(Unreadable) as error:
        told(headers, body)
    assert message in str(error.value)


def test_base64_is_what_cloudevents_says():
    assert base64.b64decode(kserve_structured("request", b"x", coded=True)["data_base64"]) == b"x"
