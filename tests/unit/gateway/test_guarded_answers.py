"""The guard in the gateway: streams and whole answers, of replicas and of other servers, end at a finding."""

import asyncio
import json

import pytest
from openai.types.responses import ResponseIncompleteEvent
from prometheus_client import CollectorRegistry, generate_latest
from support.guarded import EVERY, INSULT, WORDS, words
from support.lab import eventually
from support.scripted_upstream import DONE, Answer, chat_chunk, sse, usage_chunk

from serving.gateway.guard import Guards
from serving.inference_records import ExpectedVerdicts


@pytest.fixture(scope="module")
def detectors():
    guards = _guards("stop")
    asyncio.run(guards.load())
    guards.close()
    return guards._detectors


def _guards(mode) -> Guards:
    return Guards({"*": {"guard": {"mode": mode, "every_tokens": EVERY}}}, CollectorRegistry())


@pytest.fixture
def make_guards(detectors):
    made = []

    def make(mode="stop") -> Guards:
        guards = _guards(mode)
        guards._detectors = detectors
        made.append(guards)
        return guards

    yield make
    for guards in made:
        guards.close()


def events_of(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"], lines[-1]


def end_of(stack):
    _, end = stack.records()
    return end.data


@pytest.fixture
def guarded(relay, make_guards):
    """Return a function that makes a stack with a guard whose model is served by `upstream`, which sends `answer`."""
    return lambda answer, **stack: relay(answer, stack={"guards": make_guards()} | stack)


def streamed(pause=0.002):
    """Return a provider's stream of one token per event, each after a pause."""
    pieces = []
    for word in words():
        pieces += [*sse(chat_chunk(f"{word} ")), pause]
    return Answer(*pieces, *sse(chat_chunk(finish="stop"), usage_chunk()), DONE)


async def test_a_provider_stream_ends_soon_after_an_insult(guarded, upstream):
    stack = guarded(streamed(0.01))
    answer = await stack.chat(stream=True)
    events, last = events_of(answer)
    received = "".join(event["choices"][0]["delta"].get("content", "") for event in events).split()
    assert 50 <= len(received) <= 50 + len(INSULT) + EVERY + 10
    assert last == "[DONE]"
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert events[-1]["model"] == "echo"
    end = end_of(stack)
    assert (end.status, end.finish_reason) == ("complete", "content_filter")
    assert (end.guard.detector, end.guard.stopped) == ("toxicity", True)
    assert 50 < end.guard.position_tokens <= 50 + len(INSULT) + 1
    assert 0 < end.guard.exposed_tokens <= len(INSULT) + EVERY + 10
    await eventually(lambda: upstream.closed_early, 5)


async def test_observing_records_the_finding_and_changes_nothing(guarded, make_guards):
    guards = make_guards("observe")
    stack = guarded(streamed(0.0005), guards=guards)
    events, _ = events_of(await stack.chat(stream=True))
    assert (
        sum(len(event["choices"][0]["delta"].get("content", "").split()) for event in events if event["choices"]) == 200
    )
    end = end_of(stack)
    assert end.finish_reason == "stop"
    assert (end.guard.detector, end.guard.stopped) == ("toxicity", False)
    assert guards.hits.labels("toxicity", "observe")._value.get() == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_replica_answer_ends_before_or_soon_after_an_insult(make_stack, make_guards, stream):
    stack = make_stack(guards=make_guards())
    answer = await stack.chat(" ".join(words()), stream=stream, max_tokens=300)
    if stream:
        events, _ = events_of(answer)
        assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    else:
        (choice,) = answer.json()["choices"]
        assert choice["finish_reason"] == "content_filter"
        assert "shit" not in choice["message"]["content"]
        assert choice["message"]["content"].startswith("the old river")
    assert stack.engine.stats().running == 0
    end = end_of(stack)
    assert end.guard.stopped
    assert "shit" in end.text, "the record has the text that the model generated"
    assert stream or end.guard.exposed_tokens == 0


async def test_an_insult_in_the_last_words_is_found_before_the_end(make_stack, make_guards):
    stack = make_stack(guards=make_guards())
    events, _ = events_of(await stack.chat(f"a b c {' '.join(INSULT)}", stream=True))
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("texts", "exposed"), [(["So. I hate you, you worthless piece of shit."], 0), (["I hate you. ", "You idiot."], 1)]
)
async def test_text_that_the_guard_kept_back_is_not_exposed(guarded, texts, exposed):
    *begun, last = texts
    stack = guarded(Answer(*sse(*map(chat_chunk, begun), chat_chunk(last, finish="stop")), DONE))
    events, _ = events_of(await stack.chat(stream=True))
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "".join(begun)
    assert end_of(stack).guard.exposed_tokens == exposed


async def test_a_whole_provider_answer_is_cut(guarded):
    message = {"role": "assistant", "content": f"Hello there. {' '.join(INSULT)}", "vendor_field": 1}
    body = chat_chunk() | {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    stack = guarded(Answer.json(body))
    (choice,) = (await stack.chat()).json()["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert "shit" not in choice["message"]["content"]
    assert "shit" in end_of(stack).text


async def test_the_clients_of_a_stopped_responses_stream_receive_a_valid_event(guarded):
    begun = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1.0,
        "status": "in_progress",
        "model": "provider-model",
    }
    begun |= {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    deltas = [{"type": "response.output_text.delta", "delta": f"{word} "} for word in words()]
    events = [{"type": "response.created", "response": begun}, *deltas]
    stack = guarded(Answer(*sse(*(event | {"sequence_number": at} for at, event in enumerate(events)))))
    answer = await stack.post("responses", input="hi", stream=True)
    received = [
        json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")
    ]
    last = ResponseIncompleteEvent.model_validate(received[-1], strict=True)
    assert last.sequence_number > received[-2]["sequence_number"]
    assert (last.response.id, last.response.model, last.response.output) == ("resp_1", "echo", [])


@pytest.mark.parametrize("reported", [True, False])
async def test_the_usage_of_a_stopped_stream_is_sent_if_the_server_reported_it(guarded, reported):
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 60, "total_tokens": 63}} if reported else {}
    stack = guarded(Answer(*sse(*(chat_chunk(f"{word} ", **usage) for word in words()))))
    events, last = events_of(await stack.chat(stream=True, stream_options={"include_usage": True}))
    assert last == "[DONE]"
    assert [event["usage"]["total_tokens"] for event in events if not event["choices"]] == ([63] if reported else [])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_response_of_the_responses_api_is_incomplete(guarded, stream):
    text = " ".join(words())
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "provider-model", "output": output}
    deltas = [{"type": "response.output_text.delta", "delta": f"{word} "} for word in words()]
    script = [*sse(*deltas, {"type": "response.completed", "response": whole})]
    stack = guarded(Answer(*script) if stream else Answer.json(whole))
    answer = await stack.post("responses", input="hi", stream=stream)
    if stream:
        lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
        last = json.loads(lines[-1].removeprefix("data: "))
        assert last["type"] == "response.incomplete"
        last = last["response"]
    else:
        last = answer.json()
        assert last["model"] == "echo"
        assert "shit" not in answer.text
    assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert end_of(stack).guard.stopped


@pytest.mark.parametrize("stream", [True, False])
async def test_no_field_of_a_stopped_response_repeats_the_finding(guarded, stream):
    text = " ".join(words())
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "provider-model", "output": output}
    whole |= {"output_text": text, "output_messages": [{"content": text}]}  # fields of some servers, not of the API
    event = {"type": "response.completed", "response": whole}
    stack = guarded(Answer(*sse(event)) if stream else Answer.json(whole))
    answer = await stack.post("responses", input="hi", stream=stream)
    assert "resp_1" in answer.text
    assert "shit" not in answer.text


async def test_harmless_answers_are_the_same_as_without_a_guard(make_stack, make_guards):
    guarded = make_stack(guards=make_guards())
    plain = make_stack()
    text = " ".join(WORDS * 20)
    bodies = []
    for stack in (guarded, plain):
        answer = (await stack.chat(text, max_tokens=400)).json()
        bodies.append(answer["choices"])
    assert bodies[0] == bodies[1]
    assert end_of(guarded).guard is None


async def test_the_trace_and_the_metrics_have_the_finding_without_text(make_stack, make_guards):
    guards = make_guards()
    stack = make_stack(guards=guards)
    await stack.chat(" ".join(words()), max_tokens=300)
    chat = next(span for span in stack.spans.get_finished_spans() if span.name == "chat echo")
    assert chat.attributes["weir.guard.detector"] == "toxicity"
    assert chat.attributes["weir.guard.stopped"] is True
    assert "weir_guard_hits" in {metric.name for metric in guards.hits.collect()}
    assert "shit" not in chat.to_json() + generate_latest(stack.registry).decode()


async def test_every_choice_with_a_finding_is_cut_and_the_answer_counts_once(guarded, make_guards):
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": f"Hello {index}. {' '.join(INSULT)}"},
            "finish_reason": "stop",
        }
        for index in range(3)
    ]
    guards = make_guards()
    stack = guarded(Answer.json(chat_chunk() | {"object": "chat.completion", "choices": choices}), guards=guards)
    answered = (await stack.chat(n=3)).json()["choices"]
    assert [choice["message"]["content"].split(".")[0] for choice in answered] == ["Hello 0", "Hello 1", "Hello 2"]
    assert not any("shit" in choice["message"]["content"] for choice in answered)
    assert guards.hits.labels("toxicity", "stop")._value.get() == 1


@pytest.mark.parametrize(("first", "end"), [(["Fine."], "length"), (INSULT, "content_filter")])
async def test_each_choice_of_a_stream_is_checked_before_its_own_end(guarded, first, end):
    said = [(1, "Hm. ", None), *((0, f"{word} ", None) for word in first), (0, "", "length")]
    said += [*((1, f"{word} ", None) for word in words()), (1, "", "stop")]
    choices = [{"index": index, "delta": {"content": text}, "finish_reason": reason} for index, text, reason in said]
    stack = guarded(Answer(*sse(*(chat_chunk(choices=[choice]) for choice in choices)), DONE))
    events, _ = events_of(await stack.chat(stream=True, n=2))
    ends = [(choice["index"], choice["finish_reason"]) for event in events for choice in event["choices"]]
    assert [one for one in ends if one[1]] == [(0, end), (1, "content_filter")]
    assert [choice.finish_reason for choice in end_of(stack).messages] == [end, "content_filter"]


def delta_chunk(**delta):
    chunk = chat_chunk()
    return chunk | {"choices": [chunk["choices"][0] | {"delta": delta}]}


def reasoned(word):
    return delta_chunk(reasoning_content=f"{word} ")


def called(piece, index=0):
    return delta_chunk(tool_calls=[{"index": index, "function": {"arguments": piece}}])


async def test_an_insult_in_the_reasoning_ends_the_stream(guarded):
    pieces = [piece for word in words() for piece in (*sse(reasoned(word)), 0.002)]
    stack = guarded(Answer(*pieces, *sse(chat_chunk("Yes."), chat_chunk(finish="stop")), DONE))
    events, _ = events_of(await stack.chat(stream=True))
    received = [event["choices"][0]["delta"].get("reasoning_content", "") for event in events]
    assert 50 <= len([text for text in received if text]) <= 50 + len(INSULT) + EVERY + 10
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    guard = end_of(stack).guard
    assert (guard.detector, guard.stopped) == ("toxicity", True)
    assert 50 < guard.position_tokens <= 50 + len(INSULT) + 1


async def test_the_end_of_the_reasoning_is_checked_before_the_text(guarded):
    chunks = [*(reasoned(word) for word in ("so", *INSULT)), *(chat_chunk(f"{word} ") for word in WORDS * 5)]
    stack = guarded(Answer(*sse(*chunks, chat_chunk(finish="stop")), DONE))
    events, _ = events_of(await stack.chat(stream=True))
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert not any(event["choices"][0]["delta"].get("content") for event in events)


@pytest.mark.parametrize("index", [0, 1])
async def test_an_address_in_the_arguments_of_a_call_ends_the_stream(guarded, index):
    chunks = [chat_chunk("I look. "), called('{"to":["nobody"]}')]
    address = '{"to": "jane.roe@example.com", "text": "'
    chunks += [called(character, index) for character in address]
    chunks += [called("word ", index)] * 100
    expected = ExpectedVerdicts(output=("pii", "tools"))
    stack = guarded(Answer(*sse(*chunks, chat_chunk(finish="tool_calls")), DONE), expected=expected)
    events, _ = events_of(await stack.chat(stream=True))
    assert events[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert len(events) < 2 + len(address) + EVERY + 10
    end = end_of(stack)
    assert (end.guard.detector, end.owed) == ("pii", ("pii",)), "the guard cut the call off, so `tools` cannot check it"
    assert len(address) / 2 < end.guard.position_tokens <= 3 + len(address)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"reasoning_content": f"Hm. {' '.join(INSULT)}", "content": "Yes."}, ("Hm. ", "")),
        ({"reasoning_content": "Hm.", "content": f"Yes. {' '.join(INSULT)}"}, ("Hm.", "Yes. ")),
        (
            {"content": "Yes.", "tool_calls": [{"function": {"name": "f", "arguments": "jane.roe@example.com"}}]},
            (None, "Yes."),
        ),
    ],
)
async def test_a_whole_answer_has_the_parts_before_the_finding(guarded, fields, kept):
    message = {"role": "assistant", "tool_calls": [{"function": {"name": "g", "arguments": "{}"}}], **fields}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    stack = guarded(Answer.json(chat_chunk() | {"object": "chat.completion", "choices": [choice]}))
    answered = (await stack.chat()).json()["choices"][0]
    assert answered["finish_reason"] == "content_filter"
    assert (answered["message"].get("reasoning_content"), answered["message"]["content"]) == kept
    assert "tool_calls" not in answered["message"]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_reasoning_of_a_response_is_checked(guarded, stream):
    summary = [{"type": "summary_text", "text": " ".join(words(60, 20))}]
    output = [
        {"type": "reasoning", "summary": summary},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
    ]
    whole = {"id": "resp_1", "object": "response", "status": "completed", "model": "provider-model", "output": output}
    deltas = [{"type": "response.reasoning_summary_text.delta", "delta": f"{word} "} for word in words(60, 20)]
    script = [*sse(*deltas, {"type": "response.completed", "response": whole})]
    stack = guarded(Answer(*script) if stream else Answer.json(whole))
    answer = await stack.post("responses", input="hi", stream=stream)
    assert end_of(stack).guard.stopped
    if not stream:
        assert "Yes." not in answer.text
        assert "shit" not in answer.text


async def test_large_chunks_count_as_several_tokens_until_the_usage_arrives(guarded, make_guards):
    said = words(400, 200)
    texts = [" ".join(said[at : at + 20]) + " " for at in range(0, 400, 20)]
    characters = len(" ".join(said[:200]))
    for counts in ([None] * 20, [20 * number for number in range(1, 21)]):
        chunks = [
            chat_chunk(text) | ({} if count is None else {"usage": {"prompt_tokens": 3, "completion_tokens": count}})
            for text, count in zip(texts, counts, strict=True)
        ]
        answer = Answer(*sse(*chunks, chat_chunk(finish="stop")), DONE)
        stack = guarded(answer, guards=make_guards("observe"))
        await stack.chat(stream=True)
        expected = characters / 4 if counts[0] is None else 200
        assert expected < end_of(stack).guard.position_tokens <= expected + 45
