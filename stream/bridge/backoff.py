"""Pauses that end when the process stops, and exponential backoff."""

import asyncio
import random

__all__ = ["BackOff", "pause"]


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds`, or until `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


class BackOff:
    """Waits that double from `first` to `longest` seconds, with jitter of up to a half."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def reset(self) -> None:
        """Start again at `first`."""
        self._next = self._first

    def seconds(self) -> float:
        """Return how long to wait now."""
        current, self._next = self._next, min(2 * self._next, self._longest)
        return current * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
