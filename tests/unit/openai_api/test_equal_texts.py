"""Equal texts in one stream of the Responses API."""

import pytest

from serving.openai_api import responses_accumulator
from serving.openai_api.responses_accumulator import ResponsesAccumulator
from stream.wire import TextPart


@pytest.mark.parametrize("is_done", [False, True], ids=["only deltas", "with done events"])
@pytest.mark.parametrize("indexes", [(0, 1), (1, 2), (0, 0)], ids=["correct indexes", "shifted indexes", "one index"])
def test_the_last_event_has_each_of_two_equal_texts(indexes, is_done):
    answer, output = ResponsesAccumulator(), []
    for index in indexes:
        place = {"output_index": index, "content_index": 0}
        answer.add({"type": "response.output_text.delta", **place, "delta": "Let me look."})
        if is_done:
            answer.add({"type": "response.output_text.done", **place, "text": "Let me look."})
        output.append({"type": "message", "content": [{"type": "output_text", "text": "Let me look."}]})
    answer.add({"type": "response.completed", "response": {"status": "completed", "output": output}})
    assert answer.recorded()[0].parts == (TextPart(content="Let me look."),) * 2


def test_a_text_that_is_compared_with_no_other_is_recorded_once(monkeypatch):
    monkeypatch.setattr(responses_accumulator, "_MOST_COMPARED", 0)
    answer, text = ResponsesAccumulator(), {"type": "output_text", "text": "so"}
    answer.add({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "so"})
    output = [{"type": "message", "content": [text]}]
    answer.add({"type": "response.completed", "response": {"status": "completed", "output": output}})
    assert answer.recorded()[0].parts == (TextPart(content="so"),)
