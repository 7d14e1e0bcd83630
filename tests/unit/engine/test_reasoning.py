"""Reasoning that a model writes between tags: the parser, the engines that find the tags, the answer and its record."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from serving.backend import ModelRequest
from serving.engine.chat_template import features_of
from serving.engine.echo_engine import EchoEngine
from serving.engine.factory import create_engine
from serving.openai_api.accumulator import Accumulator
from serving.replica.engine_request import engine_request
from serving.replica.model_server import ModelServer
from serving.replica.reasoning import ReasoningReader, SplitText, is_open
from serving.settings import ModelSettings
from stream.wire import ReasoningPart, TextPart, ToolCallPart
from tests.support.tiny_gguf import save_tiny_gguf
from tests.support.tiny_llama import TEMPLATE

_THINKING_TEMPLATE = TEMPLATE.replace("assistant\n", "assistant\n<think>\n")


def _read(pieces, *, opened=False) -> SplitText:
    reader = ReasoningReader(opened=opened)
    found = [*map(reader.push, pieces), reader.flush()]
    return SplitText("".join(one.reasoning for one in found), "".join(one.content for one in found))


@pytest.mark.parametrize(
    ("text", "opened", "reasoning", "content"),
    [
        ("<think>\nso 1 < 2\n</think>\n\nYes.", False, "so 1 < 2", "Yes."),
        ("\n<think>so</think>Yes. <think>no</think>", False, "so", "Yes. <think>no</think>"),
        ("<think>\n\n</think>\n\n Yes.", False, "", "Yes."),
        ("so\n\n</think>\nYes.", True, "so", "Yes."),
        ("so </thin", True, "so </thin", ""),
        ("<think>so\n", False, "so\n", ""),
        ("  Yes <think>.", False, "", "  Yes <think>."),
        ("  <thi", False, "", "  <thi"),
        ("<thinking>", False, "", "<thinking>"),
        ("", False, "", ""),
    ],
)
def test_reasoning_and_content_are_split_for_any_chunks_of_the_text(text, opened, reasoning, content):
    whole = SplitText(reasoning, content)
    assert _read([text], opened=opened) == whole
    assert _read(text, opened=opened) == whole
    for first, second in itertools.combinations(range(len(text)), 2):
        assert _read([text[:first], text[first:second], text[second:]], opened=opened) == whole


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [("assistant\n<think>\n", True), ("<think>\n\n</think>\n\n", False), ("assistant\n", False), ("", False)],
)
def test_a_prompt_that_ends_with_the_tag_starts_the_reasoning(prompt, opened):
    assert is_open(prompt) is opened


@pytest.mark.parametrize(
    ("template", "vocabulary", "found"),
    [
        (TEMPLATE, {}, False),
        (TEMPLATE, {"<think>": 1}, False),
        (TEMPLATE, {"<think>": 1, "</think>": 2}, True),
        ("{{ message.content.split('</think>')[-1] }}", {}, True),
    ],
)
def test_a_model_reasons_if_its_template_or_its_tokens_have_the_tags(template, vocabulary, found):
    assert ("reasoning" in features_of(template, vocabulary)) is found


class _Thinking(EchoEngine):
    features = frozenset({"reasoning", "tools"})


async def _answer(engine, text, **fields) -> tuple[Accumulator, list[dict]]:
    server = ModelServer(engine, max_requests=4)
    body = {"messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 60} | fields
    request = ModelRequest(request_id="12345678-1234", operation="chat", body=body)
    answer, chunks = Accumulator(), []
    async for chunk in server.generate(request):
        answer.add(chunk)
        chunks.append(chunk["choices"][0]["delta"])
    return answer, chunks


async def test_an_answer_has_reasoning_text_and_calls():
    call = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
    tools = [{"type": "function", "function": {"name": "f"}}]
    answer, deltas = await _answer(
        _Thinking(), f"<think>\nI call <tool_call> f\n</think>\n\nCalling: {call}", tools=tools, n=2
    )
    for choice in answer.recorded():
        assert choice.parts == (
            ReasoningPart(content="I call <tool_call> f"),
            TextPart(content="Calling: "),
            ToolCallPart(id=choice.parts[2].id, name="f", arguments='{"a": 1}'),
        )
    assert "think>" not in json.dumps(deltas)
    message = answer.chat_choices()[0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("I call <tool_call> f", "Calling: ")
    assert answer.finish_reasons == ["tool_calls"] * 2


async def test_an_answer_to_an_open_prompt_begins_with_reasoning():
    answer, _ = await _answer(_Thinking(), "one </think> two <think>", max_tokens=3)
    (choice,) = answer.recorded()
    assert choice.parts == (ReasoningPart(content="one "), TextPart(content="two"))


def test_the_chat_template_gets_the_reasoning_of_earlier_turns():
    turn = {"role": "assistant", "content": "so", "reasoning_content": "hm"}
    request = ModelRequest(request_id="r", operation="chat", body={"messages": [turn]})
    assert engine_request(request).messages == (turn,)


async def test_tags_are_plain_text_for_other_models_and_in_completions():
    answer, _ = await _answer(EchoEngine(), "<think>a</think>b")
    assert answer.recorded()[0].parts == (TextPart(content="<think>a</think>b"),)
    server = ModelServer(_Thinking(), max_requests=4)
    body = {"prompt": "<think>a</think>b"}
    chunks = [
        chunk async for chunk in server.generate(ModelRequest(request_id="r", operation="text_completion", body=body))
    ]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "<think>a</think>b"


@pytest.fixture
def thinking_model(tiny_dir, tmp_path) -> Path:
    shutil.copytree(tiny_dir, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": _THINKING_TEMPLATE + "{# </think> #}"}))
    return tmp_path


async def test_transformers_reasons_by_its_template_but_not_in_a_schema(thinking_model):
    engine = create_engine(ModelSettings(engine="transformers", device="cpu", slots=2, threads=1), thinking_model)
    engine.load()
    try:
        answer, _ = await _answer(engine, "hello", temperature=0.0, max_tokens=20)
        (choice,) = answer.recorded()
        assert [type(part) for part in choice.parts] == [ReasoningPart]
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"const": "a"}}}
        answer, _ = await _answer(engine, "hello", response_format=schema)
        assert answer.recorded()[0].parts == (TextPart(content='"a"'),)
    finally:
        await engine.close()


@pytest.mark.parametrize(("template", "kind"), [(_THINKING_TEMPLATE, ReasoningPart), (TEMPLATE, TextPart)])
async def test_openvino_reasons_by_its_template(tmp_path, monkeypatch, template, kind):
    monkeypatch.setattr(
        "tests.support.tiny_llama.TEMPLATE", template + ("{# </think> #}" if template != TEMPLATE else "")
    )
    engine = create_engine(ModelSettings(engine="openvino", device="cpu", slots=2, threads=1), save_tiny_gguf(tmp_path))
    engine.load()
    try:
        answer, _ = await _answer(engine, "hello", temperature=0.0, max_tokens=20)
        assert [type(part) for part in answer.recorded()[0].parts] == [kind]
    finally:
        await engine.close()
