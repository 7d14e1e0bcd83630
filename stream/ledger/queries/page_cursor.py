"""Cursors of pages that are ordered by time, then by id, newest first.

Rows of a batch share a time, so a cursor of the time alone would skip some of them or return them twice.
"""

import math
from typing import NamedTuple

__all__ = ["NEWEST", "Cursor"]


class Cursor(NamedTuple):
    """The position of a row; the rows of the next page are smaller. Written as ``TIME/ID``, "" before the newest."""

    time: float
    id: str

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return "" if self == NEWEST else f"{self.time!r}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Return the cursor in `text`, a time with an optional id or ""; a time alone is before every row of it. Raises ValueError."""
        if not text:
            return NEWEST
        time, _slash, name = text.partition("/")
        if not math.isfinite(at := float(time)):
            raise ValueError(f"{time} is no time")
        return cls(at, name)


NEWEST = Cursor(math.inf, "")
