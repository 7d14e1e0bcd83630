"""The bytes of every version can be decoded. The golden files are never edited; a new version adds files."""

import json

import msgspec
import pytest
from support.golden_events import FORMER, NAMES, TRACE, event, golden

from stream.wire import (
    ABORTED_TYPE,
    EVENT_TYPES,
    Choice,
    ErrorInfo,
    Event,
    LocatedPart,
    Message,
    ReasoningPart,
    RequestRecord,
    RequestRecordV1,
    ResponseRecord,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    decode,
    encode,
    text_at,
)


def test_every_event_type_has_golden_bytes():
    assert {event(name).type for name in NAMES} == set(EVENT_TYPES)


@pytest.mark.parametrize("name", sorted({*NAMES} - {*FORMER}))
def test_a_decoded_record_is_encoded_to_the_same_bytes_with_and_without_its_defaults(name):
    original = event(name)
    explicit = {
        field.name: field.default
        for field in msgspec.structs.fields(original.data)
        if field.default is not msgspec.NODEFAULT
    }
    written = msgspec.json.encode(json.loads(encode(original).value) | explicit)
    headers = encode(original).headers
    for value in (encode(original).value, encode(decode(written, headers)).value):
        again = decode(value, headers)
        assert encode(again).value == value
        assert again == decode(encode(again).value, headers)


@pytest.mark.parametrize("name", NAMES)
def test_golden_bytes_decode_to_the_event_that_wrote_them(name):
    _, value, headers = golden(name)
    decoded = decode(value, headers)
    assert decoded == Event(
        id=f"id-{name.rpartition('/')[2]}",
        source="s1",
        type=dict(headers)["ce_type"].decode(),
        time=1_700_000_000.123456,
        data=decoded.data,
        subject="r1",
        correlationid="r1",
        causationid="cause",
        traceparent=TRACE,
        partitionkey="key",
        severitynumber="13",
        severitytext="warning",
    )
    as_text = {"messages", "text", "finish_reason"} if name in FORMER else set()
    written = {field: item for field, item in json.loads(value).items() if field not in as_text}
    fields = json.loads(msgspec.json.encode(msgspec.structs.asdict(decoded.data)))
    assert written.items() <= fields.items()


@pytest.mark.parametrize("name", sorted({*NAMES} - {*FORMER}))
def test_encoding_writes_the_same_bytes(name):
    record = encode(event(name))
    assert (record.key, record.value, list(record.headers)) == golden(name)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_and_headers_are_ignored(name):
    _, value, headers = golden(name)
    more = json.dumps(json.loads(value) | {"field_of_tomorrow": [1]}).encode()
    assert decode(more, [*headers, ("ce_tomorrow", b"x"), ("other", b"\xff")]) == event(name)


def test_records_of_version_1_are_decoded_as_messages_of_one_text_part():
    request, response = event("v1/request").data, event("v1/response").data
    assert isinstance(request, RequestRecord)
    assert request.messages == (Message.of_text("user", "Grüße, 你好"),)
    assert (request.text, request.number) == ("Grüße, 你好", 7)
    assert isinstance(response, ResponseRecord)
    assert response.messages == (Choice(parts=(TextPart(content="Hallo"),), finish_reason="stop"),)
    assert (response.text, response.finish_reason, response.usage.prompt_tokens) == ("Hallo", "stop", 9)


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"prompt": "once"}, (Message.of_text("user", "once"),)),
        ({"prompt": ""}, ()),
        ({"messages": [{"role": "user", "content": ""}]}, (Message.of_text("user", ""),)),
    ],
)
def test_a_prompt_of_version_1_is_a_user_message(fields, messages):
    _, value, headers = golden("v1/request")
    data = {name: item for name, item in json.loads(value).items() if name != "messages"} | fields
    assert decode(json.dumps(data).encode(), headers).data.messages == messages


V1_REQUEST = {"request_id": "r1", "tenant": "acme", "model": "m"}
V1_MESSAGES = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "?"},
]


@pytest.mark.parametrize(
    ("kind", "data", "texts"),
    [
        (RequestRecordV1.event_type, {"prompt": "once"}, {"/messages/0/parts/0": "once"}),
        (
            RequestRecordV1.event_type,
            {"messages": V1_MESSAGES},
            {f"/messages/{row}/parts/0": message["content"] for row, message in enumerate(V1_MESSAGES)},
        ),
        (
            ABORTED_TYPE,
            {"status": "aborted", "text": "The tra", "context": V1_MESSAGES},
            {"/messages/0/parts/0": "The tra"}
            | {f"/context/{row}/parts/0": message["content"] for row, message in enumerate(V1_MESSAGES)},
        ),
    ],
)
def test_the_pointers_of_a_record_of_version_1_are_those_that_the_contract_names(kind, data, texts):
    """docs/contract.md, "The part of a verdict"."""
    headers = [(name, kind.encode() if name == "ce_type" else value) for name, value in golden("v1/request")[2]]
    record = decode(json.dumps(V1_REQUEST | data).encode(), headers).data
    found = {pointer: part.text for pointer, _, part in record.located_parts()}
    for row, message in enumerate(getattr(record, "context", ())):
        found |= {f"/context/{row}/parts/{column}": part.text for column, part in enumerate(message.parts)}
    assert found == texts


def test_an_aborted_end_is_written_in_version_1_with_the_text_of_its_answer():
    where = {"request_id": "r1", "tenant": "acme", "model": "m", "status": "aborted"}
    data = ResponseRecord(
        **where,
        messages=(Choice(parts=(TextPart(content="The tra"),)),),
        context=(Message.of_text("user", "When?"),),
        error=ErrorInfo(kind="replica_died", status=503),
    )
    record = encode(Event(id="r1/end", source="s1", type=ABORTED_TYPE, time=1.0, data=data))
    assert json.loads(record.value) == {
        **where,
        "text": "The tra",
        "context": [{"role": "user", "content": "When?"}],
        "error": {"kind": "replica_died", "status": 503},
    }
    assert decode(record.value, record.headers).data == data


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((ReasoningPart(content="First"),), "First"),
        ((ReasoningPart(content="First"), ToolCallPart(name="f", arguments='{"a"')), 'First\n{"a"'),
        ((ReasoningPart(content="First"), TextPart(content="The tra")), "The tra"),
    ],
)
def test_an_aborted_end_without_a_text_has_the_text_of_its_other_parts_and_its_expected_verdicts(parts, text):
    where = {"request_id": "r1", "tenant": "acme", "model": "m", "status": "aborted"}
    data = ResponseRecord(**where, messages=(Choice(parts=parts),), owed=("pii",))
    record = encode(Event(id="r1/end", source="s1", type=ABORTED_TYPE, time=1.0, data=data))
    decoded = decode(record.value, record.headers).data
    assert (decoded.text, decoded.owed) == (text, ("pii",))


@pytest.mark.parametrize(
    ("parts", "plain"),
    [
        ((ToolResponsePart(response="12 °C", id="c1"),), [("tool", "12 °C")]),
        (
            (ToolResponsePart(response="12 °C"), ToolResponsePart(response="rain"), TextPart(content="And now?")),
            [("tool", "12 °C"), ("tool", "rain"), ("user", "And now?")],
        ),
        ((ToolResponsePart(response=""),), [("tool", "")]),
        ((TextPart(content="When?"), TextPart(content="Where?")), [("user", "When?\nWhere?")]),
        ((), [("user", "")]),
    ],
)
def test_an_aborted_end_keeps_the_tool_results_of_its_context(parts, plain):
    """Detectors compare the answer with the results, also if the answer was cut off."""
    context = (Message(role="user", parts=parts), Message.of_text("assistant", "It is"))
    data = ResponseRecord(request_id="r1", tenant="acme", model="m", status="aborted", context=context)
    record = encode(Event(id="r1/end", source="s1", type=ABORTED_TYPE, time=1.0, data=data))
    messages = (*(Message.of_text(*one) for one in plain), Message.of_text("assistant", "It is"))
    assert decode(record.value, record.headers).data.context == messages


def test_every_part_has_a_pointer_and_a_text():
    request = event("v2/request").data
    assert list(request.located_parts()) == [
        LocatedPart(f"/messages/{row}/parts/{column}", message.role, part)
        for row, message in enumerate(request.messages)
        for column, part in enumerate(message.parts)
    ]
    texts = {place: text_at(request.messages, place) for place in ("/messages/2/parts/0", "/messages/3/parts/0", "")}
    assert texts == {
        "/messages/2/parts/0": '{"city": "Köln"}',
        "/messages/3/parts/0": "12 °C, rain",
        "": "Be brief.\nHow warm is it in Köln?",
    }
    with pytest.raises(KeyError):
        text_at(request.messages, "/messages/9/parts/0")
