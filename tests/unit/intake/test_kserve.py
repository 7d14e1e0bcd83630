import json

import msgspec
import pytest
from support.cases import cases
from support.intake import kserve_headers, kserve_structured

from serving.api_keys import Principal
from serving.errors import UnreadablePayload
from serving.inference_records import ExpectedVerdicts
from serving.intake.kserve import events_of, exchange_from_kserve
from serving.intake.reported_exchange import ReportedExchange, records_of
from stream.wire import Message

CASES = cases(__file__)
PRINCIPAL = Principal(id="k_1", tenant="acme")
REQUEST = {"model": "qwen-2", "messages": [{"role": "user", "content": "hi"}]}
RESPONSE = {"choices": [{"message": {"content": "ho"}, "finish_reason": "stop"}]}


def exchanges(headers, body):
    return [exchange_from_kserve(event, PRINCIPAL) for event in events_of(headers, body)]


def exchange(half, body, **changes):
    (found,) = exchanges(kserve_headers(half, **changes), json.dumps(body).encode())
    return found


def test_both_halves_of_an_exchange_have_the_same_id_and_become_its_records():
    first, second = exchange("request", REQUEST), exchange("response", RESPONSE)
    assert first.identity == second.identity
    assert (first.response, second.request) == (None, None)
    whole = msgspec.structs.replace(first, response=second.response)
    request, end = records_of(whole, ExpectedVerdicts(input=("pii",)))
    assert (request.model, request.model_version) == ("qwen-2", "chat/predictor/default")
    assert (request.conversation_id, request.principal) == ("c-9", "k_1")
    assert request.messages == (Message.of_text("user", "hi"),)
    assert (end.text, end.latency_seconds) == ("ho", 1.5)


def test_without_a_model_in_the_body_the_model_is_the_service():
    assert exchange("request", {"instances": ["hi"]}).request.model == "qwen"
    assert exchange("response", {"predictions": ["hi"]}).response.model == "qwen"


def test_a_request_that_must_not_be_used_for_training_is_marked():
    kept = exchange("request", REQUEST | {"metadata": {"training": "false"}})
    stored = msgspec.json.decode(msgspec.json.encode(kept), type=ReportedExchange)
    assert records_of(stored, ExpectedVerdicts())[0].training is False
    assert records_of(exchange("request", REQUEST | {"metadata": {"user": "7"}}), ExpectedVerdicts())[0].training


def test_a_streamed_response_is_read():
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "ho"}}]})
    (found,) = exchanges(kserve_headers("response"), f"data: {chunk}\n\ndata: [DONE]\n\n".encode())
    assert [choice.text for choice in found.response.choices] == ["ho"]


@pytest.mark.parametrize("coded", [False, True])
def test_structured_and_batched_events_are_read(coded):
    data = json.dumps(REQUEST).encode() if coded else REQUEST
    event = kserve_structured("request", data, coded=coded)
    expected = exchange("request", REQUEST)
    assert exchanges({"content-type": "application/cloudevents+json; charset=utf-8"}, json.dumps(event).encode()) == [
        expected
    ]
    batch = json.dumps([event, event]).encode()
    assert exchanges({"content-type": "application/cloudevents-batch+json"}, batch) == [expected, expected]


def test_a_binary_events_attributes_are_percent_encoded():
    found = exchange(
        "request", REQUEST, **{"ce-metadata": "%7B%22X-Weir-Conversation-Id%22%3A%5B%22Gr%C3%BC%C3%9Fe%22%5D%7D"}
    )
    assert found.origin.conversation == "Grüße"


def test_the_trace_is_that_of_the_event_or_else_of_the_request():
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert exchange("request", REQUEST, traceparent=trace).origin.traceparent == trace
    assert exchange("request", REQUEST, **{"ce-traceparent": trace, "traceparent": "x"}).origin.traceparent == trace


@pytest.mark.parametrize("metadata", ["", "[]", "{", '{"A": "b"}', '{"X-Weir-Conversation-Id": []}'])
def test_invalid_metadata_has_no_conversation(metadata):
    assert exchange("request", REQUEST, **{"ce-metadata": metadata}).origin.conversation == ""


NOT_CODED = json.dumps(kserve_structured("request", {}) | {"data_base64": "?"})


@pytest.mark.parametrize(
    ("half", "changes", "body", "message"),
    [*CASES["refused"], (None, {"content-type": "application/cloudevents+json"}, NOT_CODED, "is not Base64")],
)
def test_an_event_that_is_not_of_the_logger_is_rejected(half, changes, body, message):
    headers = kserve_headers(half, **changes) if half else changes
    with pytest.raises(UnreadablePayload) as error:
        exchanges(headers, body.encode("latin-1"))
    assert message in str(error.value)


def test_a_stored_half_has_the_field_names_of_earlier_versions():
    half = exchange("request", REQUEST)
    stored = msgspec.json.encode(half)
    assert msgspec.json.decode(stored).keys() >= {"identity", "origin", "request", "response"}
    assert msgspec.json.decode(stored, type=ReportedExchange) == half
