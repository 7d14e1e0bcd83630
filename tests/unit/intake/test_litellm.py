import json
import math

import pytest
from support.cases import cases
from support.intake import litellm_failure, litellm_payload

from serving.api_keys import Principal
from serving.errors import UnreadablePayload
from serving.inference_records import ExpectedVerdicts
from serving.intake.litellm import exchange_from_litellm, payloads
from serving.intake.reported_exchange import records_of
from stream.wire import ErrorInfo, Message, ToolCallPart, ToolDefinition, ToolResponsePart, Usage

CASES = cases(__file__)

PRINCIPAL = Principal(id="k_1", tenant="acme")
EXPECTED = ExpectedVerdicts(input=("pii", "toxicity"), output=("pii", "refusal"), context_characters=20)


def records(payload, principal=PRINCIPAL):
    return records_of(exchange_from_litellm(payload, principal), EXPECTED)


def test_a_chat_becomes_a_request_and_its_end():
    request, end = records(litellm_payload())
    assert request.messages == (
        Message.of_text("system", "Answer in one sentence."),
        Message.of_text("user", "Mail me at ann.lee@example.org"),
    )
    assert (request.tenant, request.principal, request.conversation_id) == ("acme", "k_1", "c-17")
    assert (request.model, request.model_version) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (request.operation, request.stream, request.owed) == ("chat", True, ("pii", "toxicity"))
    assert request.parameters == {"temperature": 0.2, "max_tokens": 64}
    assert (end.request_id, end.status, end.text) == (request.request_id, "complete", "I cannot send mail.")
    assert (end.finish_reason, end.usage) == ("stop", Usage(prompt_tokens=14, completion_tokens=6))
    assert (end.latency_seconds, end.time_to_first_token_seconds) == (1.25, 0.5)
    assert (end.owed, end.context) == (("pii", "refusal"), (Message.of_text("user", "Mail me at ann.lee@e"),))


def test_a_reported_key_is_the_principal_only_if_the_client_may_delegate():
    sender = Principal(id="k_1", tenant="acme", scopes=("infer", "delegate"))
    assert {half.principal for half in records(litellm_payload(), sender)} == {"k_1/88dc28d0f030"}
    assert {half.principal for half in records(litellm_payload())} == {"k_1"}


def test_a_failure_ends_as_an_error_without_the_message_that_may_quote_the_prompt():
    request, end = records(litellm_failure())
    assert request.owed == ("pii", "toxicity")
    assert (end.status, end.text, end.owed) == ("error", "", ())
    assert end.error == ErrorInfo(kind="RateLimitError", status=429)
    assert "ann.lee" not in repr(end)
    _, end = records(litellm_failure(error_information={"error_class": "Error: the prompt was x", "error_code": "429"}))
    assert end.error == ErrorInfo(kind="unknown", status=429)


@pytest.mark.parametrize(("change", "text", "answer"), CASES["shapes"])
def test_other_shapes_and_redacted_messages_are_read(change, text, answer):
    request, end = records(litellm_payload(**change))
    assert (request.text, end.text) == (text, answer)
    assert (bool(request.owed), bool(end.owed)) == (bool(text), bool(answer))


@pytest.mark.parametrize("response", CASES["redacted"], ids=["call", "reasoning", "output", "two texts"])
def test_a_redacted_answer_has_no_text_and_expects_no_verdicts(response):
    expected = ExpectedVerdicts(input=("pii",), output=("pii", "tools"))
    tools = {"tools": [{"type": "function", "function": {"name": "get"}}]}
    hidden = [{"role": "user", "content": "redacted-by-litellm"}]
    payload = litellm_payload(messages=hidden, response=response, model_parameters=tools)
    request, end = records_of(exchange_from_litellm(payload, PRINCIPAL), expected)
    assert (request.messages, request.owed, end.messages, end.owed) == ((), (), (), ())


def test_the_instructions_of_a_response_are_a_system_message():
    request, _ = records(litellm_payload(messages="hi", model_parameters={"instructions": "Be brief."}))
    assert request.messages == (Message.of_text("system", "Be brief."), Message.of_text("user", "hi"))
    request, _ = records(litellm_payload(messages="hi", model_parameters={"instructions": "redacted-by-litellm"}))
    assert request.messages == (Message.of_text("user", "hi"),)


def test_an_image_that_litellm_truncated_is_not_recorded():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,[base64_data truncated: 2.9KB]"}}
    text = {"type": "text", "text": "What is it?"}
    request, _ = records(litellm_payload(messages=[{"role": "user", "content": [text, image]}]))
    assert request.messages == (Message.of_text("user", "What is it?"),)


def test_equal_logs_have_equal_request_ids_and_other_calls_have_others():
    first = records(litellm_payload())[0].request_id
    assert records(litellm_payload())[0].request_id == first
    assert records(litellm_payload(startTime=1767225700.0))[0].request_id != first
    elsewhere = exchange_from_litellm(litellm_payload(), Principal(id="k_2", tenant="other"))
    assert records_of(elsewhere, EXPECTED)[0].request_id != first


@pytest.mark.parametrize(("metadata", "conversation"), CASES["conversations"])
def test_the_conversation_is_read_from_the_metadata(metadata, conversation):
    assert records(litellm_payload(metadata=metadata, session_id="s-1"))[0].conversation_id == conversation


def test_a_request_that_must_not_be_used_for_training_is_marked():
    assert records(litellm_payload(metadata={"requester_metadata": {"training": "false"}}))[0].training is False
    assert records(litellm_payload(metadata={"requester_metadata": {"training": "true"}}))[0].training


@pytest.mark.parametrize("raw", CASES["batches"])
def test_all_formats_of_a_batch_are_read(raw):
    assert [one["id"] for one in payloads(raw.encode())] == ["a", "b"]


@pytest.mark.parametrize(("payload", "message"), CASES["refused"])
def test_an_item_that_is_no_standard_payload_is_rejected(payload, message):
    with pytest.raises(UnreadablePayload, match=message):
        exchange_from_litellm(payload, PRINCIPAL)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": "user", "content": "cut \ud83d"}]},
        {"response": {"choices": [{"message": {"content": "ho"}, "logprobs": {"content": [{"logprob": -math.inf}]}}]}},
    ],
    ids=["half a character", "infinity"],
)
def test_a_value_that_is_no_json_loses_no_log_of_the_batch(change, lines):
    logs = [litellm_payload(), litellm_payload(id="other", **change)]
    raw = "\n".join(map(json.dumps, logs)) if lines else json.dumps(logs)
    requests = [records(payload)[0] for payload in payloads(raw.encode())]
    assert len({request.request_id for request in requests}) == 2
    assert all(request.owed for request in requests)


def test_tools_and_all_choices_are_recorded():
    call = {"id": "c1", "type": "function", "function": {"name": "get", "arguments": '{"to": 1}'}}
    choices = [
        {"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"},
        {"message": {"content": "ho"}},
    ]
    result = {"role": "tool", "tool_call_id": "c1", "content": "17"}
    tools = [{"type": "function", "function": {"name": "get"}}]
    parameters = {"tools": tools, "temperature": 1}
    request, end = records(
        litellm_payload(messages=[result], response={"choices": choices}, model_parameters=parameters)
    )
    assert request.messages == (Message(role="tool", parts=(ToolResponsePart(response="17", id="c1"),)),)
    assert (request.tools, request.owed) == ((ToolDefinition(name="get"),), ("pii", "toxicity"))
    assert [choice.finish_reason for choice in end.messages] == ["tool_calls", None]
    assert end.messages[0].parts == (ToolCallPart(name="get", arguments='{"to": 1}', id="c1"),)
