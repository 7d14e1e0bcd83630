"""Invalid token counts of an engine or of another server: values that a record cannot contain."""

import json
from contextlib import aclosing

import pytest
from prometheus_client import generate_latest
from support.ledger_log import Log

from stream.ledger.queries.request_story import request_events
from stream.ledger.shard import Shard
from stream.wire import MAX_COUNT, Usage


def miscount(generate, number):
    """Return `generate` with `number` tokens of input and output in every chunk."""

    async def counting(request):
        async with aclosing(generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk | {"usage": {"prompt_tokens": number, "completion_tokens": number}}

    return counting


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("number", "recorded"),
    [(MAX_COUNT, MAX_COUNT), (10**400, 0), (float("nan"), 0)],  # test_accumulator.py has all kinds of invalid counts
)
async def test_a_count_that_no_record_can_contain_is_recorded_as_0(stack, caplog, number, recorded, stream):
    stack.backend.generate = miscount(stack.backend.generate, number)
    answer = await stack.chat(
        "one two", stream=stream, **({"stream_options": {"include_usage": True}} if stream else {})
    )
    assert answer.status_code == 200
    body = json.loads(answer.text.split("data: ")[-2]) if stream else answer.json()
    assert body["usage"] == {"prompt_tokens": recorded, "completion_tokens": recorded, "total_tokens": 2 * recorded}
    events = stack.records()
    assert [event.data.text if event.id.endswith("/end") else "" for event in events] == ["", "one two"]
    shard = Shard(":memory:")
    assert shard.apply(Log().inference(*events)) == 2
    end = request_events(shard.database, events[0].correlationid).end
    assert end.usage == Usage(prompt_tokens=recorded, completion_tokens=recorded)
    shard.close()
    chat = next(span for span in stack.spans.get_finished_spans() if span.name == "chat echo")
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
        assert chat.attributes.get(name) == (recorded or None)
    assert ("gen_ai_client_token_usage_sum" in generate_latest(stack.registry).decode()) == bool(recorded)
    assert caplog.text.count("the engine's token counts are not all from 0 to 9007199254740991") == (not recorded)
