"""Decode tokens to text as they arrive, without incomplete characters and without parts of stop strings."""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from serving.engine.protocol import TokenLogprob

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
# An unfinished character has three bytes at most, and a token at least one.
_KEPT = 4
_LONGEST = 12


class Detokeniser:
    """Decodes one token after the other.

    A token's text can depend on the tokens before it, so the last few tokens are decoded together. While a character is incomplete, the text ends
    with one U+FFFD. With byte fallback, the text has one U+FFFD for each byte of the run of bytes, even for the bytes of complete characters.
    OpenVINO leaves out the bytes of an incomplete character instead. So such text, and tokens without text, are kept until the character is complete,
    or until no character can have so many tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._complete = 0  # tokens at the beginning of the window that end with a complete character
        self._returned = 0  # characters of the window's text

    def push(self, token: int) -> str:
        """Add `token`; return the new text, or "" if `token` ends within a character."""
        self._window.append(token)
        text = self._decode(self._window)
        waiting = len(self._window) - self._complete
        unfinished = text.endswith(_UNFINISHED)
        text = text.removesuffix(_UNFINISHED)
        new = text[self._returned :]
        if unfinished and waiting < _KEPT and _UNFINISHED in new:
            return ""
        self._returned = len(text)
        if new and not unfinished:
            self._shorten(waiting)
            self._complete = len(self._window)
        elif waiting >= _LONGEST:
            self._shorten(_KEPT)
            self._complete = 0
        return new

    def _shorten(self, tokens: int) -> None:
        self._window = self._window[-tokens:]
        self._returned = len(self._decode(self._window).removesuffix(_UNFINISHED))


class StopStrings:
    """Finds stop strings in a stream of text; text that may begin a stop string is kept until more text arrives.

    `rest` is the text after the first stop string that was found.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = self.rest = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Add `text`; return the text that cannot belong to a stop string. Sets `stopped` if a stop string is found."""
        if not self._stop:
            return text
        held = self._held + text
        found = [(at, at + len(stop)) for stop in self._stop if (at := held.find(stop)) >= 0]
        if found:
            start, end = min(found)
            self.stopped, self._held, self.rest = True, "", held[end:]
            return held[:start]
        keep = max(_overlap(held, stop) for stop in self._stop)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def flush(self) -> str:
        """Return the kept text; call this at the end of the answer."""
        held, self._held = self._held, ""
        return held


class TextStream:
    """Decodes the tokens of one answer, up to a stop string, and keeps each log-probability until its token's text is returned."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]) -> None:
        self._tokens = Detokeniser(decode)
        self._stop = StopStrings(stop)
        self._decoded = self._returned = 0  # characters
        self._logprobs: deque[TokenLogprob] = deque()

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stop.stopped

    def push(self, token: int, logprob: TokenLogprob | None = None) -> str:
        """Add `token` and its log-probability; return the text that can be sent now."""
        if logprob is not None:
            self._logprobs.append(self.located(logprob))
        decoded = self._tokens.push(token)
        self._decoded += len(decoded)
        text = self._stop.push(decoded)
        self._returned += len(text)
        return text

    def located(self, logprob: TokenLogprob) -> TokenLogprob:
        """Return `logprob` as that of the next token."""
        return msgspec.structs.replace(logprob, at=self._decoded)

    def flush(self) -> str:
        """Return the kept text, without an incomplete character; call this at the end of the answer."""
        self._returned = self._decoded + 1
        return self._stop.flush()

    def take_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Return the log-probabilities since the last call, of tokens of which at least the first character was returned.

        After `flush`, all others are returned too. Tokens of a stop string have none.
        """
        taken = []
        while self._logprobs and self._logprobs[0].at < self._returned:
            taken.append(self._logprobs.popleft())
        return tuple(taken)


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest suffix of `text` that is a prefix of `stop`; `text` does not contain `stop`.

    Examples
    --------
    >>> _overlap("so EN", "END"), _overlap("so", "END")
    (2, 0)
    """
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
