"""Read a model's features, and its tags of tool calls and of reasoning, from its chat template."""

from collections.abc import Container

from serving.engine.protocol import EngineFeature

TEMPLATE_REJECTS = (
    "the model's chat template rejects these messages: check their roles, their order and their tool calls"
)
#: The tags around a tool call, in the format that :mod:`serving.replica.tool_calls` reads.
TOOL_CALL_TAG, TOOL_CALL_END = "<tool_call>", "</tool_call>"
#: The tags around a model's reasoning, which :mod:`serving.replica.reasoning` reads.
REASONING_TAGS = ("<think>", "</think>")


def features_of(template: str, vocabulary: Container[str]) -> frozenset[EngineFeature]:
    """Return the features that a model has because of its chat template and its tokens.

    ``tools``: the template lists the tools and instructs the model to write calls between tags. ``reasoning``: the template has the closing tag of
    reasoning, or both tags are tokens.
    """
    found: set[EngineFeature] = set()
    if "tools" in template and TOOL_CALL_TAG in template:
        found.add("tools")
    if REASONING_TAGS[1] in template or all(tag in vocabulary for tag in REASONING_TAGS):
        found.add("reasoning")
    return frozenset(found)
