"""Split an answer's text into the model's reasoning and its content, as the text grows.

Format: ``<think>...</think>`` at the beginning of the answer, as DeepSeek, Qwen, SmolLM3 and many other models write it. The chat
template of some models ends with the opening tag.
"""

from typing import Literal, NamedTuple

from serving.engine.chat_template import REASONING_TAGS
from serving.engine.text_stream import StopStrings

_OPEN, _CLOSE = REASONING_TAGS


class SplitText(NamedTuple):
    """New reasoning and new content."""

    reasoning: str
    content: str


class ReasoningReader:
    """Reads one answer; white space around the tags is removed.

    If `opened`, the answer begins with reasoning. Otherwise, it has reasoning if it begins with the opening tag.
    """

    def __init__(self, *, opened: bool) -> None:
        self._state: Literal["before", "inside", "after"] = "inside" if opened else "before"
        self._held = ""
        self._tag = StopStrings((f"\n\n{_CLOSE}", f"\n{_CLOSE}", _CLOSE))
        self._at_start = True  # of the reasoning, or of the content after it

    def push(self, text: str) -> SplitText:
        """Add text of the answer; return the text that can be sent now."""
        if self._state == "before":
            text = self._begin(text)
        if self._state == "inside":
            return self._inside(text)
        return SplitText("", self._without_leading_space(text))

    def flush(self) -> SplitText:
        """Return the rest; call this at the end of the answer."""
        if self._state == "inside":
            return SplitText(self._without_leading_space(self._tag.flush()), "")
        held, self._held = self._held, ""
        return SplitText("", held)

    def _begin(self, text: str) -> str:
        """Return the text after the opening tag, or all text if there is none; keep text that may begin the tag."""
        self._held += text
        begun = self._held.lstrip()
        if begun.startswith(_OPEN):
            self._state, text = "inside", begun.removeprefix(_OPEN)
        elif _OPEN.startswith(begun):
            return ""
        else:
            self._state, text, self._at_start = "after", self._held, False
        self._held = ""
        return text

    def _inside(self, text: str) -> SplitText:
        reasoning = self._without_leading_space(self._tag.push(text))
        if not self._tag.stopped:
            return SplitText(reasoning, "")
        self._state, self._at_start = "after", True
        return SplitText(reasoning, self._without_leading_space(self._tag.rest))

    def _without_leading_space(self, text: str) -> str:
        if self._at_start:
            text = text.lstrip()
            self._at_start = not text
        return text


def is_open(prompt_end: str) -> bool:
    """Return whether a prompt ends with the opening tag, so that the answer begins with reasoning."""
    return prompt_end.rstrip().endswith(_OPEN)
