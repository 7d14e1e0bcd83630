"""The turns of a chat without a conversation id count as one conversation; other requests are independent."""

import hashlib
import json

import pytest

from detectors.streams.conversations import Conversations
from serving.backend import ModelInfo, ModelRequest
from serving.chat_turns import turns_of
from serving.inference_records import ExpectedVerdicts, InferenceRequest, recorded_messages, request_record
from stream.wire import Message

SECRET = "Bearer sk-weir-1"


def said(role, text):
    return {"role": role, "content": text}


def user(text):
    return said("user", text)


def answer(text):
    return said("assistant", text)


def digests(*messages, secret=SECRET, operation="chat", field="messages"):
    request = ModelRequest(request_id="r", operation=operation, body={field: list(messages)})
    return turns_of(recorded_messages(request), secret)


def used(*requests):
    """Return, for each request of one key, whether a stream detector uses it; a request is a list of messages or its digests."""
    conversations = Conversations(512)
    turns = [request if isinstance(request, tuple) else digests(*request) for request in requests]
    return [conversations.looks_at("k", "", each, f"r{number}") for number, each in enumerate(turns)]


def chat(name, turns, system=None):
    """Return the requests of a chat; each repeats the earlier one and its answer."""
    messages, requests = [], []
    for turn in range(turns):
        messages = [*messages, user(f"{name} {turn}")]
        requests.append([said("system", system(turn)), *messages] if system else messages)
        messages = [*messages, answer(f"answer to {name} {turn}")]
    return requests


def test_one_turn_of_each_chat_is_used():
    turns = [request for pair in zip(chat("a", 12), chat("b", 12), strict=True) for request in pair]
    assert used(*turns) == [True, True] + [False] * 22


def test_chats_that_begin_with_the_same_message_are_separate():
    first, second = chat("a", 2)[1], [*chat("a", 1)[0], answer("other"), user("b")]
    assert used(*chat("a", 1), *chat("a", 1), first, second) == [True, True, False, False]


def test_a_new_time_in_the_system_prompt_changes_nothing():
    assert used(*chat("a", 3, system=lambda turn: f"It is {turn} o'clock.")) == [True, False, False]


def test_the_steps_of_an_agent_are_one_conversation():
    def call(number):
        function = {"name": "f", "arguments": f'{{"n": {number}}}'}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"c{number}", "type": "function", "function": function}],
        }

    def result(number):
        return {"role": "tool", "tool_call_id": f"c{number}", "content": f"result {number}"}

    steps = (
        [user("find it")],
        [user("find it"), call(1), result(1)],
        [user("find it"), call(1), result(1), call(2), result(2)],
    )
    assert used(*steps) == [True, False, False]


def test_the_items_of_the_responses_api_are_turns():
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "3"}
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I call f."}]}
    first, second = [user("x")], [user("x"), reasoning, call, result]
    assert used(*(digests(*each, operation="responses", field="input") for each in (first, second))) == [True, False]


def test_a_lost_turn_does_not_split_a_chat():
    turns = chat("a", 6)
    assert used(turns[0], turns[3], turns[5]) == [True, False, False]


def test_an_answer_that_the_request_begins_does_not_split_a_chat():
    first, second = chat("a", 2)
    assert used([*first, answer("{")], [*second, answer("{")]) == [True, False]


EXAMPLES = [user("1 + 1"), answer("2"), user("2 + 3"), answer("5")]


@pytest.mark.parametrize(
    "requests",
    [
        [[said("system", "Add."), *EXAMPLES, user(f"{n} + {n}")] for n in range(50)],
        [[*EXAMPLES, user("7 + 8")]] * 50,
        [[user("ping")]] * 50,
        [[answer("Hello!"), user(f"question {n}")] for n in range(50)],
        [turn[-3:] for turn in chat("a", 50)[2:]],  # the client sends the last messages only
        [],
    ],
    ids=["few-shot", "equal few-shot", "equal prompts", "a greeting", "a truncated history", "nothing"],
)
def test_these_requests_are_independent(requests):
    assert all(used(*requests))


def test_a_request_without_a_message_of_a_user_has_no_digest():
    assert digests() == digests(said("system", "x")) == digests(answer("x")) == ()


def test_the_digests_are_few_short_and_need_the_key():
    turns = digests(*chat("a", 40)[-1])
    assert [len(turn) for turn in turns] == [8] * 9
    assert not {*turns} & {*digests(*chat("a", 40)[-1], secret="Bearer sk-weir-2")}
    assert hashlib.blake2b(json.dumps("x").encode(), digest_size=4).hexdigest() not in digests(user("x"))
    assert turns_of([Message.of_text("user", "x")], "Bearer \udcff")


def record(operation="chat", secret=SECRET, **body):
    request = ModelRequest(request_id="r", operation=operation, body=body)
    info = ModelInfo(engine="echo", version="v", context_length=0)
    inference = InferenceRequest(tenant="t", principal="p", model="m", info=info, request=request, secret=secret)
    assert SECRET not in repr(inference)
    return request_record(inference, ExpectedVerdicts())


def test_only_the_record_of_a_chat_has_digests():
    assert record(messages=[user("x")]).turns == digests(user("x"))
    assert record(operation="responses", input="x").turns == digests(user("x"))
    assert (
        record(operation="text_completion", prompt="x").turns == record(operation="embeddings", input="x").turns == ()
    )
    assert record(messages=[user("x")], secret="").turns == (), "without a key, anyone could test guesses of the text"


@pytest.mark.parametrize(
    ("operation", "field", "more"),
    [
        ("chat", "messages", {"chat_template_kwargs": {"reasoning_effort": "low"}}),
        ("chat", "messages", {"documents": ["d"]}),
        ("chat", "messages", {"prediction": {"type": "content", "content": "x"}}),
        ("responses", "input", {"prompt": {"id": "p", "variables": {"city": "Bern"}}}),
    ],
)
def test_texts_beside_the_messages_do_not_split_a_chat(operation, field, more):
    turns = [record(operation=operation, **{field: messages}, **more).turns for messages in chat("a", 12)]
    assert used(*turns) == [True] + [False] * 11
    assert turns[0] == digests(*chat("a", 1)[0])
