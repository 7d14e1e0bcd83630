"""The operator's messages in the end record, which contains them only if a verdict of `leak` is expected."""

import pytest
from support.inference_ends import ended

from serving.backend import ModelInfo, ModelRequest
from serving.inference_records import ExpectedVerdicts, InferenceRequest, context_of, instructions_of
from serving.intake.reported_exchange import Origin, ReportedExchange, ReportedRequest, ReportedResponse, records_of
from stream.stages.score.event_parts import Item
from stream.stages.score.machine import item_of
from stream.wire import OWN_TENANT, Choice, Message, TextPart, ToolCallPart, ToolResponsePart

LEAK = ExpectedVerdicts(output=("pii", "leak"), context_characters=100)
TEXT = Choice(parts=(TextPart(content="hello"),))
SYSTEM, USER = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}


def end(*messages, choices=(TEXT,), expected=LEAK, tenant="t"):
    request = InferenceRequest(
        tenant=tenant,
        principal="p",
        model="m",
        info=ModelInfo(engine="echo", version="v", context_length=0),
        request=ModelRequest(request_id="r", operation="chat", body={"messages": list(messages)}),
    )
    return ended(request, expected, choices)


def test_the_newest_operator_messages_are_recorded():
    record = end(SYSTEM, USER, {"role": "developer", "content": "Be kind."})
    assert record.owed == ("pii", "leak")
    assert record.instructions == (Message.of_text("system", "Be brief."), Message.of_text("developer", "Be kind."))


@pytest.mark.parametrize(
    ("record", "owed"),
    [
        (end(USER), ("pii",)),
        (end(SYSTEM, USER, expected=ExpectedVerdicts(output=("pii",), context_characters=100)), ("pii",)),
        (end(SYSTEM, USER, choices=()), ()),
        (end({"role": "system", "content": ""}, USER), ("pii",)),
        (end(SYSTEM, USER, tenant=OWN_TENANT), ()),
    ],
)
def test_without_the_detector_or_a_system_prompt_they_are_not_recorded(record, owed):
    assert (record.owed, record.instructions) == (owed, ())


@pytest.mark.parametrize(
    ("text", "size"), [("x" * 20_000, 16_384), ("\u00e9" * 20_000, 8_192), ("\u4e2d" * 20_000, 5_461)]
)
def test_at_most_16_kib_are_recorded(text, size):
    (message,) = instructions_of((Message.of_text("system", text),))
    assert message.text == text[:size]
    newest = instructions_of((Message.of_text("system", text), Message.of_text("developer", "short")))
    assert [one.text for one in newest][1] == "short"
    assert sum(len(one.text.encode()) for one in newest) <= 16_384


def test_the_record_of_another_gateways_exchange_has_the_operator_messages():
    exchange = ReportedExchange(
        identity="0" * 32,
        origin=Origin(tenant="t", principal="p"),
        request=ReportedRequest(messages=(Message.of_text("system", "Be brief."), Message.of_text("user", "hi"))),
        response=ReportedResponse(choices=(TEXT,), status="complete"),
    )
    _, found = records_of(exchange, LEAK)
    assert (found.owed, found.instructions) == (("pii", "leak"), (Message.of_text("system", "Be brief."),))
    _, without = records_of(exchange, ExpectedVerdicts(output=("pii",)))
    assert without.instructions == ()


def test_the_context_has_tool_results_and_no_tool_calls():
    messages = (
        Message.of_text("user", "look"),
        Message(role="assistant", parts=(ToolCallPart(name="get", arguments='{"secret": 1}', id="c"),)),
        Message(role="tool", parts=(ToolResponsePart(response="12 degrees", id="c"),)),
    )
    for name in ("leak", "groundedness"):
        assert context_of(messages, 100, ("pii", name)) == (messages[0], messages[2])
        assert context_of(messages, 2, (name,)) == (Message.of_text("user", "lo"), messages[2])
    assert context_of(messages, 100, ("pii",)) == (messages[0],)
    assert context_of(messages, 100, ()) == context_of(messages, 0, ("leak",)) == ()


@pytest.mark.parametrize(
    ("text", "size"), [("x" * 20_000, 16_384), ("\u00e9" * 20_000, 8_192), ("\u4e2d" * 20_000, 5_461)]
)
def test_at_most_16_kib_of_the_newest_tool_results_are_recorded(text, size):
    older, newest = (Message(role="tool", parts=(ToolResponsePart(response=one, id="c"),)) for one in (text, "new"))
    (kept,) = context_of((older,), 1, ("leak",))
    assert kept.parts[0].text == text[:size]
    found = context_of((older, newest), 1, ("leak",))
    assert found[1] == newest
    assert sum(len(part.text.encode()) for message in found for part in message.parts) <= 16_384
    assert context_of((newest, older), 1, ("leak",))[-1].parts[0].text == text[:size]


class Detector:
    """A detector that declares the parts of a prompt that it reads."""

    def __init__(self, characters, *, instructions):
        self.prompt_characters, self.reads_instructions = characters, instructions


def test_only_a_detector_that_reads_instructions_gets_them_each_once():
    record = end(SYSTEM, USER)
    item = item_of(record)
    assert isinstance(item, Item)
    roles = {
        name: [turn.role for turn in item.prompt_for(detector)]
        for name, detector in {
            "none": Detector(0, instructions=False),
            "prompt": Detector(10, instructions=False),
            "leak": Detector(10, instructions=True),
        }.items()
    }
    assert roles == {"none": [], "prompt": ["system", "user"], "leak": ["system", "user"]}
    assert item_of(end(SYSTEM, USER, expected=ExpectedVerdicts(output=("pii",)))).instructions == ()
