"""The guard: check an answer while the model generates it, and end it at the first finding.

Every `every_tokens` tokens, a thread checks the new text together with a part of the text before it (the overlap). So a phrase at the boundary is
found, and the cost per token is constant. Text does not wait for its check, so the client receives some tokens of a finding. In mode ``stop``, the
answer waits only if more than `every_tokens` + `_AHEAD` tokens are not checked, for example if another server sends large chunks.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from detectors.cheap.growing_text import GrowingText, GrowingTextDetector
from serving.errors import log_failure
from serving.gateway.tenant_settings import GuardSettings, Tenants, guard_detectors, guard_settings
from serving.openai_api.accumulator import NewText
from stream.wire import OWN_TENANT, GuardStop

_LOG = logging.getLogger(__name__)
#: Characters before the new text that a check reads again: more than the longest sentence or number that detectors score.
_OVERLAP = 256
#: Most new characters of one check, so that a check of a large chunk stays short.
_MOST = 4096
#: Longest partial word at the end of the text that waits for its other part.
_PARTIAL = 64
#: Tokens that may arrive during one check, beside the `every_tokens` before it.
_AHEAD = 8
#: Longer chunks are counted as several tokens, of `_TOKEN_CHARACTERS` each, if the engine has not sent its number of tokens.
_LONGEST_TOKEN = 16
_TOKEN_CHARACTERS = 4
_SPACE = re.compile(r"\s")


class _Finding(NamedTuple):
    """A finding, as character offsets into the answer."""

    detector: str
    start: int
    end: int


class Guards:
    """The guards of one gateway process: their settings by tenant, detectors, thread and metrics."""

    def __init__(self, tenants: Tenants, registry: CollectorRegistry) -> None:
        self._names = guard_detectors(tenants)
        self._settings = guard_settings(tenants)
        self._detectors: dict[str, GrowingTextDetector] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guard")
        self.hits = Metric(
            "weir_guard_hits", "Answers in which the guard found something", ("detector", "mode"), registry=registry
        )
        self.failures = Metric(
            "weir_guard_failures", "Answers whose check failed; the rest of them was not checked", registry=registry
        )

    async def load(self) -> None:
        """Load the detectors that any tenant's guard may use; call it before the first answer.

        Raises WeightsError if weights are missing or wrong, and ModuleNotFoundError if the extra ``guard`` is not installed.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    def _load(self) -> None:
        if not self._names:
            return
        from detectors.cheap.pii import GrowingPii  # noqa: PLC0415 - needs memory, and only a guard needs it
        from detectors.cheap.toxicity import GrowingToxicity  # noqa: PLC0415

        for detector in (GrowingToxicity(), GrowingPii()):
            if detector.name in self._names:
                detector.load()
                self._detectors[detector.name] = detector

    def submit(self, settings: GuardSettings, text: GrowingText, offset: int) -> "Future[_Finding | None]":
        """Check `text`, which begins at `offset` in the answer, in the thread; the result is the finding that ends first, or None."""
        return self._thread.submit(self._first_finding, settings, text, offset)

    def _first_finding(self, settings: GuardSettings, text: GrowingText, offset: int) -> _Finding | None:
        found: list[_Finding] = []
        for name in settings.detectors:
            detector = self._detectors[name]
            if one := detector.find(text, settings.threshold.get(name, detector.threshold)):
                found.append(_Finding(name, offset + one.start, offset + one.end))
        return min(found, key=lambda finding: finding.end, default=None)

    def answer(self, tenant: str) -> "AnswerGuard | None":
        """Return a guard for all choices of one answer, or None if the tenant's guard is off."""
        settings = self._settings(tenant)
        if settings.mode == "off" or tenant == OWN_TENANT:  # the answers to Weir's own prompts reach no user
            return None
        return AnswerGuard(settings, self)

    def close(self) -> None:
        """Cancel the waiting checks, and end the thread after its current check."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class Guard:
    """The guard of one part of a choice, after `tokens` tokens of other parts. Call `push` with all text in order, then `finish` before a normal end.

    Call `sent` when the client of a stream has received the text so far.

    `hit` is the finding, or None before it is known; after a finding, no text is checked. If `hit.stopped` is true, the
    caller must cancel the engine and end the answer with the finish reason ``content_filter``.
    """

    def __init__(self, settings: GuardSettings, guards: Guards, *, tokens: int = 0) -> None:
        self._settings = settings
        self._guards = guards
        self.hit: GuardStop | None = None
        #: Number of the part's first characters that are before the finding; without streaming, the text to return.
        self.harmless_characters = 0
        self._failed = False
        self._tokens = self._tokens_sent = self._tokens_at_check = self._tokens_checked = tokens
        self._check: Future[_Finding | None] | None = None
        self._overlap = ""
        self._unchecked = ""
        self._offset = 0
        #: (end of a pushed text in characters, tokens up to there), for the text that a finding can be in.
        self._ends: deque[tuple[int, int]] = deque([(0, tokens)])
        self._characters = 0

    async def push(self, text: str, tokens: int) -> GuardStop | None:
        """Add the next text of the part before it is sent, and return `hit`; `tokens` is the choice's number of tokens.

        The text may be empty. In mode ``stop``, `push` waits only if `every_tokens` + `_AHEAD` tokens are not checked.
        """
        self._collect()
        if self._done():
            return self.hit
        self._characters += len(text)
        self._unchecked += text
        self._tokens = max(self._tokens, tokens)
        self._ends.append((self._characters, self._tokens))
        self._start_if_due()
        while self._check is not None and self._is_far_ahead():
            await self._wait()
            self._start_if_due()
        return self.hit

    def sent(self) -> None:
        """Note that the client has received all text so far."""
        self._tokens_sent = self._tokens

    async def finish(self) -> GuardStop | None:
        """Check the rest of the text so far, and return `hit`."""
        await self._wait()
        while not self._done() and self._unchecked:
            self._start_check(is_end=True)
            await self._wait()
        return self.hit

    def _done(self) -> bool:
        return self._failed or self.hit is not None

    def _is_far_ahead(self) -> bool:
        return (
            self._settings.mode == "stop"
            and self._tokens - self._tokens_checked >= self._settings.every_tokens + _AHEAD
        )

    def _start_if_due(self) -> None:
        many = self._tokens - self._tokens_at_check >= self._settings.every_tokens or len(self._unchecked) >= _MOST
        if many and self._check is None and not self._done():
            self._start_check(is_end=False)

    def _start_check(self, *, is_end: bool) -> None:
        unchecked = self._unchecked
        length = len(unchecked)
        if length > _MOST or not is_end:
            length = _readable(unchecked[:_MOST])
        if not length:
            return
        is_end = is_end and length == len(unchecked)
        if len(unchecked) <= _MOST:
            self._tokens_at_check = self._tokens
        text = self._overlap + unchecked[:length]
        growing = GrowingText(text=text, checked=len(self._overlap), is_start=self._offset == 0, is_end=is_end)
        self._check = self._guards.submit(self._settings, growing, self._offset)
        self._unchecked = unchecked[length:]
        self._overlap = _last(text)
        self._offset += len(text) - len(self._overlap)

    async def _wait(self) -> None:
        if self._check is not None:
            with suppress(Exception):  # `_collect` handles it; asyncio would log it if nobody retrieved it
                await asyncio.wrap_future(self._check)
            self._collect()

    def _collect(self) -> None:
        """Take the result of a finished check."""
        if self._check is None or not self._check.done():
            return
        check, self._check = self._check, None
        try:
            found = check.result()
        except Exception as error:  # noqa: BLE001 - a failed check must not end the answer
            self._failed = True
            self._guards.failures.inc()
            log_failure(_LOG, "a check of the guard (the rest of the answer is not checked)", error)
            return
        if found is not None:
            self._stop(found)
            return
        self._tokens_checked = self._tokens_at_check
        while len(self._ends) > 1 and self._ends[1][0] <= self._offset:
            self._ends.popleft()

    def _stop(self, found: _Finding) -> None:
        before = max(tokens for end, tokens in self._ends if end <= found.start)
        position = next((tokens for end, tokens in self._ends if end >= found.end), self._tokens)
        self.harmless_characters = found.start
        self.hit = GuardStop(
            detector=found.detector,
            position_tokens=position,
            exposed_tokens=max(self._tokens_sent - before, 0),
            stopped=self._settings.mode == "stop",
        )


class AnswerGuard:
    """The guards of all choices of one answer: of the text, of the reasoning and of the arguments of each tool call.

    `hit` is the first finding.
    """

    def __init__(self, settings: GuardSettings, guards: Guards) -> None:
        self._settings, self._guards = settings, guards
        self._choices: dict[int, _Choice] = {}
        self._newest: list[Guard] = []
        self._counted = 0
        self.hit: GuardStop | None = None

    async def push(self, texts: Sequence[NewText], completion_tokens: int) -> bool:
        """Add new text before it is sent; return whether the answer must be stopped.

        The choices of `texts` have the tokens by which `completion_tokens` has grown, because choices differ in length. Each
        text is at least one token; replicas send several tokens in one text. Other servers send `completion_tokens` only at
        the end: until then, long texts count as several tokens.
        """
        self._newest = []
        grown = self._grown({new.choice for new in texts}, completion_tokens)
        for index, text, part in texts:
            choice = self._choices.setdefault(index, _Choice())
            before = choice.tokens
            choice.count(text, grown.pop(index, 0))
            if part != choice.part and (last := choice.guards.get(choice.part)) is not None:
                self._note(await last.finish())
            choice.part = part
            if (guard := choice.guards.get(part)) is None:
                guard = choice.guards[part] = Guard(self._settings, self._guards, tokens=before)
            self._newest.append(guard)
            self._note(await guard.push(text, choice.tokens))
        return self.must_stop

    def sent(self) -> None:
        """Note that the client has received the text of the last `push`."""
        for guard in self._newest:
            guard.sent()

    async def finish(self, ended: Collection[int] | None = None) -> bool:
        """Check the rest of the choices in `ended`, or of all; return whether the answer must be stopped."""
        for index in self._choices if ended is None else self._choices.keys() & ended:
            for guard in self._choices[index].guards.values():
                self._note(await guard.finish())
        return self.must_stop

    @property
    def must_stop(self) -> bool:
        """Whether the answer must be stopped."""
        return self.hit is not None and self.hit.stopped

    def harmless_characters(self) -> dict[tuple[int, str], int]:
        """Return, for each (choice, part) with a finding, the number of characters before the finding; call `finish` first."""
        return {
            (index, part): guard.harmless_characters
            for index, choice in self._choices.items()
            for part, guard in choice.guards.items()
            if guard.hit is not None
        }

    def _grown(self, choices: Collection[int], completion_tokens: int) -> dict[int, int]:
        """Return the number of new tokens of each of `choices`: those of one chunk, which has only a total.

        New tokens without text belong to the next chunk's text if there is one choice, else to the end of some choice.
        """
        grown = max(completion_tokens - self._counted, 0)
        if not choices:
            self._counted += grown if len(self._choices) > 1 else 0
            return {}
        share = grown // len(choices)
        self._counted += share * len(choices)
        return dict.fromkeys(choices, share)

    def _note(self, hit: GuardStop | None) -> None:
        if self.hit is None and hit is not None:
            self.hit = hit
            self._guards.hits.labels(hit.detector, "stop" if hit.stopped else "observe").inc()


class _Choice:
    """The guards of a choice's parts; `part` is that of the last text, `tokens` the number of tokens so far."""

    def __init__(self) -> None:
        self.guards: dict[str, Guard] = {}
        self.part = ""
        self.tokens = 0
        self._texts = self._estimated = self._counted = 0

    def count(self, text: str, counted: int) -> None:
        """Count the tokens of new text; `counted` is the engine's number of new tokens of the choice, or 0."""
        self._counted += counted
        self._texts += 1
        self._estimated += 1 if len(text) <= _LONGEST_TOKEN else len(text) // _TOKEN_CHARACTERS
        self.tokens = max(self.tokens, self._texts, self._counted or self._estimated)


def _readable(text: str) -> int:
    """Return the number of characters before the last, perhaps partial word.

    Without white space near the end, return 0 for a short text and all characters of a longer text.
    """
    for index in range(len(text) - 1, max(-1, len(text) - 1 - _PARTIAL), -1):
        if text[index].isspace():
            return index + 1
    return len(text) if len(text) > _PARTIAL else 0


def _last(text: str) -> str:
    """Return the last `_OVERLAP` characters; if `text` is longer, without the word at their beginning."""
    if len(text) <= _OVERLAP:
        return text
    space = _SPACE.search(text, len(text) - _OVERLAP)
    return text[space.end() :] if space else text[-_OVERLAP:]
