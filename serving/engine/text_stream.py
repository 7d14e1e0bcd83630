"""Decodes tokens to text as they arrive: never half a character, never a part of a stop string."""

from collections.abc import Callable, Sequence

__all__ = ["Detokeniser", "StopStrings", "TextStream"]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
# An unfinished character has three bytes at most, and a token at least one.
_KEPT = 4
_LONGEST = 12


class Detokeniser:
    """Decodes token by token.

    A token's text can depend on the tokens before it, so a short window is decoded each time. An unfinished character decodes to one
    U+FFFD at the end, which is held back; the text before it can no longer change.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._returned = 0  # characters of the window's text

    def push(self, token: int) -> str:
        """Return the text that `token` completes; "" while a character is unfinished."""
        self._window.append(token)
        text = self._finished()
        new = text[self._returned :]
        self._returned = len(text)
        if len(self._window) >= _LONGEST:
            self._window = self._window[-_KEPT:]
            self._returned = len(self._finished())
        return new

    def _finished(self) -> str:
        return self._decode(self._window).removesuffix(_UNFINISHED)


class StopStrings:
    """Holds text back while it may begin a stop string."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Return the text that is no part of a stop string; after `stopped` is set, there is no more."""
        if not self._stop:
            return text
        held = self._held + text
        found = [at for stop in self._stop if (at := held.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return held[: min(found)]
        keep = max(_overlap(held, stop) for stop in self._stop)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def flush(self) -> str:
        """Return the text that was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return held


class TextStream:
    """The text of one answer."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]) -> None:
        self._tokens = Detokeniser(decode)
        self._stop = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self._stop.stopped

    def push(self, token: int) -> str:
        """Return the text that `token` releases."""
        return self._stop.push(self._tokens.push(token))

    def flush(self) -> str:
        """Return the text that was held back, at the end of the answer; an unfinished character is dropped."""
        return self._stop.flush()


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`, which is not in `text`.

    Examples
    --------
    >>> _overlap("so EN", "END"), _overlap("so", "END")
    (2, 0)
    """
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)
