"""Structured output, tool calls, log-probabilities, biases and several choices of real engines behind a model server."""

import asyncio
import json
import math

import pytest

from serving.backend import ModelRequest, RejectedRequest
from serving.engine.factory import create_engine
from serving.gateway.models import check_features
from serving.openai_api.accumulator import Accumulator
from serving.openai_api.completions import CompletionRequest
from serving.openai_api.errors import ApiError
from serving.replica.model_server import ModelServer
from serving.settings import ModelSettings

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "count_people", "parameters": _SCHEMA}}
# A limited schema, because a small random model never ends a number or a text.
_SHORT = _SCHEMA | {"properties": {"city": {"enum": ["Paris", "Rome"]}, "people": {"type": "integer", "maximum": 99}}}
_SHORT_TOOL = {"type": "function", "function": {"name": "count_people", "parameters": _SHORT}}
_MESSAGES = [{"role": "user", "content": "How many people live in Paris?"}]


@pytest.fixture(scope="module")
def openvino(smollm_files):
    yield from _served("openvino", smollm_files.path)


@pytest.fixture(scope="module")
def transformers(tiny_dir):
    yield from _served("transformers", tiny_dir)


def _served(kind, path):
    settings = ModelSettings(engine=kind, device="cpu", dtype="float32", slots=4, threads=1, max_length=1024)
    engine = create_engine(settings, path)
    engine.load()
    yield ModelServer(engine, max_requests=8)
    asyncio.run(engine.close())


async def _items(server, operation="chat", **fields):
    body = {"temperature": 0.0, "max_tokens": 120, "messages": _MESSAGES} | fields
    request = ModelRequest(request_id="12345678-1234", operation=operation, body=body)
    return [item async for item in server.generate(request)]


async def _answer(server, **fields) -> Accumulator:
    answer = Accumulator()
    for item in await _items(server, **fields):
        assert not isinstance(item, RejectedRequest), item
        answer.add(item)
    assert answer.finished
    return answer


def _fits(value) -> bool:
    return set(value) == {"city", "people"} and isinstance(value["city"], str) and isinstance(value["people"], int)


async def test_an_answer_fits_its_schema(openvino):
    schema = {"type": "json_schema", "json_schema": {"name": "city", "schema": _SCHEMA}}
    (choice,) = (await _answer(openvino, response_format=schema)).recorded()
    assert _fits(json.loads(choice.text))


async def test_an_answer_has_the_characters_of_several_tokens(openvino):
    text = "naïve 👋 日本語"
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": text}}}
    (choice,) = (await _answer(openvino, response_format=schema, logprobs=True)).chat_choices()
    assert json.loads(choice["message"]["content"]) == text
    assert {token["bytes"] is None for token in choice["logprobs"]["content"] if not token["token"]} == {True}


async def test_a_named_function_is_called_with_arguments_that_fit(openvino):
    choice = {"type": "function", "function": {"name": "count_people"}}
    (message,) = (await _answer(openvino, tools=[_TOOL], tool_choice=choice)).chat_choices()
    assert message["finish_reason"] == "tool_calls"
    (call,) = message["message"]["tool_calls"]
    assert call["function"]["name"] == "count_people"
    assert call["id"].startswith("call_")
    assert _fits(json.loads(call["function"]["arguments"]))


async def test_a_required_tool_is_called(openvino):
    answer = await _answer(openvino, tools=[_TOOL], tool_choice="required", parallel_tool_calls=False)
    (message,) = answer.chat_choices()
    (call,) = message["message"]["tool_calls"]
    assert _fits(json.loads(call["function"]["arguments"]))
    assert message["message"]["content"] is None


async def test_transformers_follows_a_schema_alone_and_in_a_batch(transformers):
    schema = {"type": "json_schema", "json_schema": {"name": "city", "schema": _SHORT}}
    wanted = {"response_format": schema, "max_tokens": 400, "temperature": 1.0}
    alone = [await _answer(transformers, seed=seed, **wanted) for seed in range(3)]
    free = _answer(transformers, seed=7, temperature=1.0, max_tokens=60)
    *together, text = await asyncio.gather(*(_answer(transformers, seed=seed, **wanted) for seed in range(3)), free)
    texts = [answer.recorded()[0].text for answer in together]
    assert texts == [answer.recorded()[0].text for answer in alone]
    assert len(set(texts)) == 3
    assert all(_fits(json.loads(one)) for one in texts)
    assert [answer.finish_reasons for answer in together] == [["stop"]] * 3
    assert "{" not in text.recorded()[0].text[:1]


async def test_transformers_writes_a_json_object(transformers):
    answer = await _answer(transformers, response_format={"type": "json_object"}, max_tokens=10)
    assert answer.recorded()[0].text.startswith("{")


async def test_transformers_calls_the_named_and_the_required_function(transformers):
    named = {"type": "function", "function": {"name": "count_people"}}
    for choice in (named, "required"):
        answer = await _answer(
            transformers, tools=[_SHORT_TOOL], tool_choice=choice, parallel_tool_calls=False, max_tokens=440
        )
        (message,) = answer.chat_choices()
        assert message["finish_reason"] == "tool_calls"
        (call,) = message["message"]["tool_calls"]
        assert call["function"]["name"] == "count_people"
        assert _fits(json.loads(call["function"]["arguments"]))


async def test_likely_tokens_are_those_that_the_schema_allows(transformers):
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": "a"}}}
    answer = await _answer(transformers, response_format=schema, logprobs=True, top_logprobs=5)
    (choice,) = answer.chat_choices()
    first = choice["logprobs"]["content"][0]
    assert [(top["token"], top["logprob"]) for top in first["top_logprobs"]] == [('"', 0.0)]
    json.dumps(choice, allow_nan=False)


@pytest.mark.parametrize("engine", ["openvino", "transformers"])
@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "bogus"}, "invalid"),
        ({"type": "string", "pattern": "(?<=a)b("}, "invalid"),
        ({"type": "string", "pattern": "^(?!secret)[a-z]+$"}, "a pattern with a lookahead"),
        ({"type": "object", "propertyNames": {"pattern": "(?=secret)"}}, "a pattern with a lookahead"),
        ({"enum": ["x" * 20_000]}, "20014 characters, the limit is 16384"),
        ({"properties": {"a": {"items": [{"$ref": "http://secret.example"}]}}}, "has a $ref to another document"),
        ({"$ref": "#secret", "$defs": {"secret": {"type": "string"}}}, "has a $ref to another document"),
        ({"$ref": "#/x/const", "x": {"const": {"type": "string", "pattern": "secret$|^b"}}}, "not a schema"),
        *(({"type": "string", "pattern": f"{repeated}{{{'9' * 5000}}}"}, "invalid") for repeated in ("a", "(a)")),
        ({"type": "string", "pattern": "((a{1000}){1000}){1000}"}, "repeat groups 999999999 times, the limit is 5000"),
        ({"type": "string", "pattern": "(([^x]{400}){70}){70}"}, "repeat groups 1959999 times, the limit is 5000"),
    ],
)
async def test_a_schema_that_cannot_be_followed_is_400_and_ends_no_other_request(
    request, capfd, engine, schema, problem
):
    server = request.getfixturevalue(engine)
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    (rejected,) = await _items(server, response_format=response_format)
    assert (rejected.status, rejected.param) == (400, "response_format")
    assert problem in rejected.message
    assert "secret" not in rejected.message + "".join(capfd.readouterr())
    assert (await _answer(server, max_tokens=3)).finish_reasons == ["length"]


@pytest.mark.parametrize("engine", ["openvino", "transformers"])
async def test_a_pattern_is_in_no_log(request, capfd, engine):
    patterns = ("^secret$|^b$", "(^|secret,)b")
    schemas = [{"type": "string", "pattern": pattern} for pattern in patterns]
    schemas += [{"type": "object", "patternProperties": {pattern: {"type": "null"}}} for pattern in patterns]
    schemas.append({"type": "string", "format": "email", "pattern": "^(?!secret).+$"})
    schema = {"type": "array", "items": {"anyOf": schemas}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert (await _answer(request.getfixturevalue(engine), max_tokens=3, response_format=wanted)).finished
    assert "secret" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "schema",
    [
        *({"type": "string", "pattern": pattern} for pattern in ("(?=a)b", "(?i)a", "(?P<n>a)", "a++", "a*{2}")),
        *({"type": "string", "pattern": pattern} for pattern in ("(|a)b", "(?:|a)", "(?<n>|a)", "a||b")),
        {"type": "object", "properties": {"default": {"type": "string", "pattern": "(?=a)b"}}},
        {"type": "object", "patternProperties": {"(?=a)": {"type": "string"}}},
        {"type": "object", "properties": {'a"b': {"type": "string"}}},
        {"anyOf": []},
        {"$ref": "#/"},
        {"type": "object", "properties": {"a": {"$ref": "#//"}}},
        {"$ref": "#/x/const", "x": {"const": {"type": "string", "pattern": "(a|$)"}}},
        {"type": "string", "minLength": -1},
        {"enum": ["größe"]},  # xgrammar would write U+0DFE
        {"type": "string", "pattern": "^[äöüa-z]+$"},  # the step of the engine would fail
        {"type": "string", "pattern": r"^\x41b$"},
        {"type": "object", "properties": {"año": {"type": "object", "properties": {"über": {"type": "null"}}}}},
    ],
    ids=json.dumps,
)
async def test_a_schema_that_would_end_all_requests_of_openvino_is_400(openvino, schema):
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    (rejected,) = await _items(openvino, response_format=response_format)
    assert (rejected.status, rejected.param) == (400, "response_format")


async def test_length_limits_whose_compilation_would_stop_openvino_for_a_minute_are_400(openvino):
    texts = {f"t{number}": {"type": "string", "maxLength": 500 + number} for number in range(6)}
    wanted = {"name": "x", "schema": {"type": "object", "properties": texts}}
    (rejected,) = await _items(openvino, response_format={"type": "json_schema", "json_schema": wanted})
    assert (rejected.status, rejected.param) == (400, "response_format")
    assert "sum to 2400, the limit is 2000" in rejected.message


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}], ids=str)
async def test_a_schema_of_a_tool_that_cannot_be_followed_is_400(openvino, choice):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"anyOf": []}}}]
    (rejected,) = await _items(openvino, tools=tools, tool_choice=choice)
    assert (rejected.status, rejected.code, rejected.param) == (400, "invalid_json_schema", "tools")


@pytest.mark.parametrize(
    "pattern", [r"\++", "[*+]+", "a*?", "(?:ab){2,3}", "(?<year>\\d{4})-\\d{2}", "^a{0,1000}$", "[|]|(a|)"]
)
async def test_ordinary_patterns_are_followed(openvino, pattern):
    schema = {"type": "string", "pattern": pattern}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert (await _answer(openvino, max_tokens=3, response_format=response_format)).finish_reasons[0] in {
        "length",
        "stop",
    }


async def test_choices_are_different_answers(openvino):
    answer = await _answer(openvino, n=3, temperature=1.0, seed=5, max_tokens=8)
    texts = [choice.text for choice in answer.recorded()]
    assert len(set(texts)) == 3
    assert answer.usage.completion_tokens == 24
    again = await _answer(openvino, n=3, temperature=1.0, seed=5, max_tokens=8)
    assert [choice.text for choice in again.recorded()] == texts


async def test_more_choices_than_free_slots_are_503(openvino):
    first = await asyncio.gather(*(_items(openvino, n=5, max_tokens=8) for _ in range(2)))
    rejected = [item for items in first for item in items if isinstance(item, RejectedRequest)]
    assert [(item.code, item.status) for item in rejected] == [("queue_full", 503)]


async def test_openvino_returns_the_log_probability_of_each_token(openvino):
    answer = await _answer(openvino, logprobs=True, max_tokens=6)
    (choice,) = answer.chat_choices()
    tokens = choice["logprobs"]["content"]
    assert len(tokens) == answer.usage.completion_tokens == 6
    assert all(-20 < token["logprob"] <= 0 for token in tokens)
    assert "".join(token["token"] for token in tokens).strip() == choice["message"]["content"].strip()


async def test_transformers_lists_the_most_likely_tokens(transformers):
    answer = await _answer(transformers, operation="chat", logprobs=True, top_logprobs=3, max_tokens=5)
    (choice,) = answer.chat_choices()
    for token in choice["logprobs"]["content"]:
        best, *others = token["top_logprobs"]
        assert (best["token"], best["logprob"]) == (token["token"], token["logprob"]), (
            "with temperature 0, the chosen token is the most likely one"
        )
        assert len(others) == 2
        assert all(other["logprob"] <= best["logprob"] for other in others)
        assert math.exp(best["logprob"]) <= 1


async def test_a_bias_decides_the_token(transformers):
    answer = await _answer(transformers, logit_bias={"65": 100}, logprobs=True, top_logprobs=1, max_tokens=4)
    (choice,) = answer.chat_choices()
    chosen = {token["token"] for token in choice["logprobs"]["content"]}
    assert len(chosen) == 1


@pytest.mark.parametrize("listed", [1, 2])
async def test_completions_list_log_probabilities_in_their_own_format(transformers, listed):
    wanted = {"operation": "text_completion", "prompt": "the weir", "temperature": 2, "seed": 1, "max_tokens": 4}
    (choice,) = (await _answer(transformers, **wanted, logprobs=listed)).text_choices()
    logprobs = choice["logprobs"]
    assert {len(logprobs[name]) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")} == {4}
    sampled = list(zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True))
    assert all(token in top and len(top) <= listed + 1 for token, _, top in sampled)
    assert any(max(top.values()) > logprob for _, logprob, top in sampled), "some sampled token is not the most likely"
    assert logprobs["text_offset"][0] == 0


async def test_more_choices_than_the_slots_of_a_replica_are_400(openvino):
    (rejected,) = await _items(openvino, n=16)
    assert (rejected.status, rejected.param) == (400, "n")


async def test_a_tool_call_in_the_history_that_the_template_cannot_print_is_not_reported_as_a_lost_replica(
    transformers,
):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "\\ud800"}'}}
    messages = [
        *_MESSAGES,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    assert (await _answer(transformers, messages=messages, max_tokens=2)).finished


async def test_messages_that_the_template_rejects_are_not_too_long(transformers, monkeypatch):
    template = "{{ raise_exception('roles must alternate') }}"
    monkeypatch.setattr(transformers._engine._codec, "_template", template)
    (rejected,) = await _items(transformers)
    assert (rejected.status, rejected.code, rejected.param) == (400, "invalid_value", "messages")
    assert "roles must alternate" in rejected.message


@pytest.mark.parametrize("engine", ["openvino", "transformers"])
async def test_a_stop_string_has_no_log_probabilities(request, engine):
    server = request.getfixturevalue(engine)
    whole = (await _answer(server, max_tokens=12)).recorded()[0].text
    for stop in (whole[4:6], whole[-3:]):
        answer = await _answer(server, logprobs=True, stop=stop, max_tokens=12)
        (choice,) = answer.chat_choices()
        text = choice["message"]["content"]
        assert text == whole[: whole.index(stop)]
        tokens = [token["token"] for token in choice["logprobs"]["content"]]
        if engine == "openvino":
            assert "".join(tokens[:-1]) in text, "only the last token can have text after the answer"
            assert "".join(tokens).startswith(text)
        else:  # a token is one byte, and the answer has incomplete characters
            assert len(tokens) < answer.usage.completion_tokens


async def test_the_end_token_has_no_log_probability(openvino, transformers):
    messages = [{"role": "user", "content": "Say only the word yes."}]
    answer = await _answer(openvino, messages=messages, logprobs=True, max_tokens=60)
    tokens = answer.chat_choices()[0]["logprobs"]["content"]
    assert answer.finish_reasons == ["stop"]
    assert len(tokens) == answer.usage.completion_tokens - 1
    assert "".join(token["token"] for token in tokens) == answer.recorded()[0].text
    end = str(257)  # the end token of the tiny model
    answer = await _answer(transformers, logit_bias={end: 100}, logprobs=True)
    assert (answer.finish_reasons, answer.usage.completion_tokens) == (["stop"], 1)
    assert answer.chat_choices()[0]["logprobs"] is None


@pytest.mark.parametrize("engine", ["openvino", "transformers"])
@pytest.mark.parametrize("max_tokens", [0, 4])
async def test_an_echo_begins_with_the_prompt(request, engine, max_tokens):
    server = request.getfixturevalue(engine)
    prompt = "The weir  measures 日本 "
    answer = await _answer(server, operation="text_completion", prompt=prompt, echo=True, max_tokens=max_tokens, n=2)
    plain = await _answer(server, operation="text_completion", prompt=prompt, max_tokens=4)
    text = plain.text_choices()[0]["text"] if max_tokens else ""
    assert [choice["text"] for choice in answer.text_choices()] == [prompt + text] * 2
    assert answer.usage.completion_tokens == 2 * max_tokens
    assert answer.usage.prompt_tokens > 0
    assert answer.finish_reasons == ["length"] * 2


@pytest.mark.parametrize("max_tokens", [0, 1])
async def test_an_echo_has_the_log_probability_of_each_token_of_the_prompt(openvino, max_tokens):
    prompt = "The capital of France is Paris."
    answer = await _answer(
        openvino, operation="text_completion", prompt=prompt, echo=True, logprobs=1, max_tokens=max_tokens
    )
    (choice,) = answer.text_choices()
    logprobs = choice["logprobs"]
    assert logprobs["tokens"][0] == "The"
    assert logprobs["token_logprobs"][0] is logprobs["top_logprobs"][0] is None
    assert all(-30 < value < 0 for value in logprobs["token_logprobs"][1:])
    assert "".join(logprobs["tokens"]) == choice["text"]
    assert len(logprobs["tokens"]) == answer.usage.prompt_tokens + max_tokens
    assert logprobs["text_offset"] == [0, 3, 11, 14, 21, 24, 30, 31][: len(logprobs["tokens"])]
    assert answer.usage.completion_tokens == max_tokens


async def test_a_prompt_that_the_tokenizer_shortens_has_at_least_its_tokens(openvino):
    # The tokenizer of the default model stops at 8,192 tokens, and the limit of this server is 1,024.
    (rejected,) = await _items(openvino, operation="text_completion", prompt="w " * 9_000)
    assert (rejected.code, rejected.param) == ("context_length_exceeded", "prompt")
    assert "together is 1024 tokens, and the prompt has at least 8192" in rejected.message


async def test_an_echo_has_the_log_probability_of_an_end_token(openvino):
    # lm-eval ignores the last log-probability: it belongs to the one token that lm-eval requests.
    prompt = "<|im_start|>user\nSay only the word yes.<|im_end|>\n<|im_start|>assistant\nYes."
    fields = {"operation": "text_completion", "prompt": prompt, "echo": True, "logprobs": 1}
    answers = [await _answer(openvino, max_tokens=max_tokens, **fields) for max_tokens in (0, 1)]
    without, with_end = (answer.text_choices()[0]["logprobs"]["token_logprobs"] for answer in answers)
    assert answers[1].finish_reasons == ["stop"]
    assert with_end[:-1] == pytest.approx(without, abs=1e-3)


def test_log_probabilities_of_a_prompt_are_400_if_the_engine_does_not_support_them(openvino, transformers):
    request = CompletionRequest(model="m", prompt="x", echo=True, logprobs=1)
    check_features(request.features(), openvino.describe())
    with pytest.raises(
        ApiError, match=r"^echo is not supported by the engine 'transformers' .* leave out echo or logprobs"
    ):
        check_features(request.features(), transformers.describe())
