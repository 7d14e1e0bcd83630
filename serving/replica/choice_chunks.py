"""Convert an engine's chunks of one answer to choices in OpenAI's format."""

from typing import Any

from serving.engine.protocol import Chunk, TokenLogprob
from serving.replica.reasoning import ReasoningReader, SplitText
from serving.replica.tool_calls import Piece, ToolCallReader


class ChatChunks:
    """Converts chunks to choice `index` of a streamed chat completion.

    The first chunk has the role. If `reasoning` is None, all text is content.
    """

    def __init__(self, index: int, reader: ToolCallReader, reasoning: ReasoningReader | None = None) -> None:
        self._index = index
        self._reader = reader
        self._reasoning = reasoning
        self._begun = False

    def convert(self, chunk: Chunk) -> dict[str, Any] | None:
        """Return the choice of a chunk, or None while its text may be part of an incomplete tool call."""
        reasoning, text = self._split(chunk)
        piece = self._reader.push(text) if text else Piece()
        reason: str | None = chunk.finish_reason
        if reason is not None:
            rest = self._reader.flush()
            piece = Piece(text=piece.text + rest.text, calls=[*piece.calls, *rest.calls])
            if reason == "stop" and self._reader.calls:
                reason = "tool_calls"
        elif self._begun and not (reasoning or piece.text or piece.calls or chunk.logprobs):
            return None
        delta: dict[str, Any] = {} if self._begun else {"role": "assistant", "content": ""}
        self._begun = True
        if reasoning:
            delta["reasoning_content"] = reasoning
        if piece.text:
            delta["content"] = piece.text
        if piece.calls:
            delta["tool_calls"] = piece.calls
        logprobs = {"content": [_chat_logprob(token) for token in chunk.logprobs], "refusal": None}
        return {
            "index": self._index,
            "delta": delta,
            "logprobs": logprobs if chunk.logprobs else None,
            "finish_reason": reason,
        }

    def _split(self, chunk: Chunk) -> SplitText:
        if self._reasoning is None:
            return SplitText("", chunk.text)
        new = self._reasoning.push(chunk.text)
        if chunk.finish_reason is None:
            return new
        rest = self._reasoning.flush()
        return SplitText(new.reasoning + rest.reasoning, new.content + rest.content)


class CompletionChunks:
    """Converts chunks to choice `index` of a streamed plain completion; the first chunk begins with `echo` (the prompt or "")."""

    def __init__(self, index: int, echo: str = "") -> None:
        self._index = index
        self._prompt = len(echo)
        self._echo = echo

    def convert(self, chunk: Chunk) -> dict[str, Any]:
        """Return the choice of a chunk."""
        text, self._echo = self._echo + chunk.text, ""
        # The decoded prompt can be longer than the prompt itself.
        places = [min(token.at, self._prompt) for token in chunk.prompt_logprobs]
        places += [self._prompt + token.at for token in chunk.logprobs]
        logprobs = chunk.prompt_logprobs + chunk.logprobs
        return {
            "index": self._index,
            "text": text,
            "logprobs": _completion_logprobs(logprobs, places) if logprobs else None,
            "finish_reason": chunk.finish_reason,
        }


def _completion_logprobs(tokens: tuple[TokenLogprob, ...], offsets: list[int]) -> dict[str, Any]:
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_likely(token) for token in tokens],
        "text_offset": offsets,
    }


def _likely(token: TokenLogprob) -> dict[str, float] | None:
    """Return the log-probabilities of the sampled and the most likely tokens; a prompt's first token has none."""
    if token.logprob is None:
        return None
    return {token.token: token.logprob} | dict(token.top)


def _chat_logprob(token: TokenLogprob) -> dict[str, Any]:
    top = [_entry(text, logprob) for text, logprob in token.top]
    return {**_entry(token.token, token.logprob), "top_logprobs": top}


def _entry(text: str, logprob: float | None) -> dict[str, Any]:
    # A token can be only a part of a character; then it has no bytes that can be shown.
    whole = text and "\N{REPLACEMENT CHARACTER}" not in text
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}
