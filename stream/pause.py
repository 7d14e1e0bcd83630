"""Pauses that end early when the process stops, and growing pauses before retries."""

import asyncio
import random


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds`, or until `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


class BackOff:
    """Waiting times that double from `first` to `longest` seconds, each multiplied by a random factor in [0.5, 1]."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = self._next = first
        self._longest = longest

    def reset(self) -> None:
        """Start again with `first` as the next waiting time."""
        self._next = self._first

    def seconds(self) -> float:
        """Return the next waiting time."""
        current, self._next = self._next, min(2 * self._next, self._longest)
        return current * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
