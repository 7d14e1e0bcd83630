"""An engine, or a server behind it, whose token counts no record can contain."""

import json
from contextlib import aclosing

import msgspec
import pytest
from prometheus_client import generate_latest
from support.ledger_log import Log

from serving.engine.echo_engine import EchoEngine
from serving.replica.model_server import ModelServer
from stream.ledger.queries.request_story import request_events
from stream.ledger.shard import Shard
from stream.wire import MAX_COUNT, Usage


class Miscounting(EchoEngine):
    """Echoes, and counts `number` tokens of input and output."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    async def generate(self, prompt, sampling):
        async with aclosing(super().generate(prompt, sampling)) as chunks:
            async for chunk in chunks:
                yield msgspec.structs.replace(chunk, prompt_tokens=self.number, completion_tokens=self.number)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("number", "recorded"),
    [
        (MAX_COUNT, MAX_COUNT),
        (MAX_COUNT + 1, 0),
        (2**63, 0),
        (10**400, 0),
        (-1, 0),
        (float("nan"), 0),
        ("many", 0),
        (None, 0),
    ],
)
async def test_a_count_that_no_record_can_contain_is_recorded_as_0(stack, caplog, number, recorded, stream):
    stack.backend.server = ModelServer(Miscounting(number), max_requests=4, max_length=8192)
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
    assert chat.attributes["gen_ai.usage.output_tokens"] == recorded
    assert ("gen_ai_client_token_usage_sum" in generate_latest(stack.registry).decode()) == bool(recorded)
    assert caplog.text.count("the engine's token counts are not all from 0 to 9007199254740991") == (not recorded)
