"""Join the events of a stream of Anthropic's Messages API to the message that the API returns without streaming.

Reference: https://docs.claude.com/en/docs/build-with-claude/streaming
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from serving.decoded_json import mapping_of, text_of

#: The first event of a stream, except for the event `ping`.
MESSAGE_START = "message_start"
#: Type of a delta → its field, and the field of the content block that the deltas build.
_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("partial_json", "input"),
}


def joined_message(events: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], bool]:
    """Return the message so far, and whether it is complete; events of unknown types are ignored.

    The input of a tool call is a text of JSON, as the arguments of OpenAI's calls.
    """
    message: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    texts: dict[tuple[int, str], list[str]] = defaultdict(list)
    complete = False
    for event in events:
        kind, index, delta = event.get("type"), event.get("index"), mapping_of(event.get("delta"))
        if kind == MESSAGE_START:
            message = dict(mapping_of(event.get("message")))
            usage.update(mapping_of(message.get("usage")))
        elif kind == "content_block_start" and type(index) is int:
            blocks[index] = dict(mapping_of(event.get("content_block")))
        elif (
            kind == "content_block_delta" and type(index) is int and (found := _DELTAS.get(text_of(delta.get("type"))))
        ):
            texts[index, found[1]].append(text_of(delta.get(found[0])))
        elif kind == "message_delta":
            usage.update(mapping_of(event.get("usage")))
        complete = complete or kind == "message_stop"
    for (index, field), pieces in texts.items():
        block = blocks.setdefault(index, {"type": "text"})
        block[field] = text_of(block.get(field)) + "".join(pieces)
    return message | {"usage": usage, "content": [blocks[index] for index in sorted(blocks)]}, complete
