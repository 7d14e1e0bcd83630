"""Continuous batching: which rows take part in a step, which join and which leave. No threads and no asyncio."""

from collections import deque
from collections.abc import Sequence

import msgspec

from serving.engine.llama import LlamaModel, Segment
from serving.engine.protocol import Chunk, FinishReason, Sampling
from serving.engine.sampler import Draw, choose
from serving.engine.text_stream import TextStream
from serving.engine.tokenizer import Codec

__all__ = ["Loop", "Request"]

# Prompt tokens taken in a step: larger pieces stall the others' tokens for longer, smaller ones delay the first.
_PROMPT_TOKENS_PER_STEP = 64


class Request:
    """One request; `cancelled` may be set from any thread, and the next step drops it."""

    def __init__(self, prompt: Sequence[int], sampling: Sampling) -> None:
        self.prompt = tuple(prompt)
        self.sampling = sampling
        self.cancelled = False


class _Row:
    """A request with a slot; its index in the loop's list is its slot."""

    def __init__(self, request: Request, codec: Codec) -> None:
        self.request = request
        self.draw = Draw(request.sampling)
        self.text = TextStream(codec.decode, request.sampling.stop)
        self.held = 0  # tokens in the cache
        self.last = -1  # the token chosen last, which the cache does not hold yet
        self.said = 0

    def chunk(self, text: str, finish_reason: FinishReason | None = None) -> Chunk:
        prompt = len(self.request.prompt)
        return Chunk(text=text, finish_reason=finish_reason, prompt_tokens=prompt, completion_tokens=self.said)


class _Totals(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Loop:
    """Generates for up to `slots` requests at once; the rest wait in order.

    The first `_decoding` rows decode, so that attention reads the cache as one slice; the rows after them process their prompts in order.
    """

    def __init__(self, model: LlamaModel, codec: Codec, ends: frozenset[int], slots: int) -> None:
        self._model, self._codec, self._ends, self._slots = model, codec, ends, slots
        self._waiting: deque[Request] = deque()
        self._joining: deque[_Row] = deque()
        self._rows: list[_Row] = []
        self._decoding = 0
        self.totals = _Totals()

    @property
    def running(self) -> int:
        """Requests that hold a slot."""
        return len(self._rows)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._rows and not self._waiting

    def add(self, request: Request) -> None:
        """Queue a request, whose prompt and `max_tokens` must fit the model's context."""
        self._waiting.append(request)

    def abandon(self) -> list[Request]:
        """Drop everything, and return what was dropped."""
        dropped = [*(row.request for row in self._rows), *self._waiting]
        self._rows, self._decoding = [], 0
        self._joining.clear()
        self._waiting.clear()
        self._model.cache.shrink()
        return dropped

    def step(self) -> list[tuple[Request, Chunk]]:
        """Run one step; return the chunks, in no order."""
        self._drop_cancelled()
        self._admit()
        if not self._rows:
            self._model.cache.shrink()
            return []
        segments, rows = self._pieces(), self._rows[: self._decoding]
        self._make_room(segments)
        logits = self._model.forward([row.last for row in rows], [row.held for row in rows], segments)
        for row in rows:
            row.held += 1
        rows += self._take_in(segments)
        if not rows:
            return []
        tokens = choose(logits, [row.draw for row in rows])
        self.totals.completion_tokens += len(tokens)
        return self._settle(rows, tokens)

    def _drop_cancelled(self) -> None:
        if any(request.cancelled for request in self._waiting):
            self._waiting = deque(request for request in self._waiting if not request.cancelled)
        for row in [row for row in self._rows if row.request.cancelled]:
            self._leave(row)

    def _admit(self) -> None:
        while self._waiting and len(self._rows) < self._slots:
            row = _Row(self._waiting.popleft(), self._codec)
            self._rows.append(row)
            self._joining.append(row)

    def _pieces(self) -> list[Segment]:
        budget, pieces = _PROMPT_TOKENS_PER_STEP, []
        for row in self._joining:
            if budget == 0:
                break
            tokens = row.request.prompt[row.held : row.held + budget]
            last = row.held + len(tokens) == len(row.request.prompt)
            pieces.append(Segment(slot=self._rows.index(row), start=row.held, tokens=tokens, last=last))
            budget -= len(tokens)
        return pieces

    def _make_room(self, segments: Sequence[Segment]) -> None:
        decoding = max((row.held + 1 for row in self._rows[: self._decoding]), default=0)
        taking_in = max((segment.start + len(segment.tokens) for segment in segments), default=0)
        self._model.cache.reserve(max(decoding, taking_in), len(self._rows))

    def _take_in(self, segments: Sequence[Segment]) -> list[_Row]:
        """Count the tokens in the cache; rows with a complete prompt join the decoding rows."""
        complete = []
        for row, segment in zip(list(self._joining), segments, strict=False):
            row.held += len(segment.tokens)
            self.totals.prompt_tokens += len(segment.tokens)
            if segment.last:
                complete.append(row)
        for row in complete:
            self._joining.popleft()
            self._swap(self._rows.index(row), self._decoding)
            self._decoding += 1
        return complete

    def _settle(self, rows: Sequence[_Row], tokens: Sequence[int]) -> list[tuple[Request, Chunk]]:
        results = []
        for row, token in zip(rows, tokens, strict=True):
            row.last = token
            row.said += 1
            chunk = self._say(row, token)
            if chunk.text or chunk.finish_reason or row.said == 1:
                results.append((row.request, chunk))
            if chunk.finish_reason:
                self._leave(row)
        return results

    def _say(self, row: _Row, token: int) -> Chunk:
        if token in self._ends:
            return row.chunk(row.text.flush(), "stop")
        text = row.text.push(token)
        if row.text.stopped:
            return row.chunk(text, "stop")
        if row.said < row.request.sampling.max_tokens:
            return row.chunk(text)
        return row.chunk(text + row.text.flush(), "length")

    def _leave(self, row: _Row) -> None:
        """Free a row's slot: the last decoding row moves into a decoding row's slot, and the last row of all into the free slot."""
        at = self._rows.index(row)
        if at < self._decoding:
            self._decoding -= 1
            self._fill(at, self._decoding)
            at = self._decoding
        else:
            self._joining.remove(row)
        self._fill(at, len(self._rows) - 1)
        self._rows.pop()

    def _fill(self, hole: int, source: int) -> None:
        if hole != source:
            self._model.cache.move(source, hole, self._rows[source].held)
            self._rows[hole] = self._rows[source]

    def _swap(self, one: int, other: int) -> None:
        if one != other:
            longest = max(self._rows[one].held, self._rows[other].held)
            self._model.cache.swap(one, other, longest)
            self._rows[one], self._rows[other] = self._rows[other], self._rows[one]
