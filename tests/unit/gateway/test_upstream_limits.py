"""The sizes of responses that the engine `upstream` accepts from its server."""

from support.scripted_upstream import Answer, sse

IMAGE = {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "A" * 2_000_000}
USAGE = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}


async def test_an_image_in_the_events_of_a_response_is_relayed_and_its_usage_recorded(relay):
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": [IMAGE], "usage": USAGE}
    events = [
        {"type": "response.output_item.done", "output_index": 0, "item": IMAGE},
        {"type": "response.completed", "response": response},
    ]
    stack = relay(Answer(*sse(*events)))
    answer = await stack.post("responses", stream=True, input="draw")
    assert answer.text.count(IMAGE["result"]) == 2
    _, end = stack.ended()
    assert (end.status, end.usage.total_tokens) == ("complete", 11)
    (part,) = end.messages[0].parts
    assert (part.modality, part.size) == ("image", 1_500_000)
