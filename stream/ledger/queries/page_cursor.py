"""Cursors of pages that are ordered by time, then by id, newest first.

Several rows can have the same time, so a cursor that contains only the time would skip rows or return rows twice.
"""

import math
from typing import NamedTuple


class Cursor(NamedTuple):
    """The position of a row, after which the next page begins. As text: ``TIME/ID``, or "" for the first page."""

    time: float
    id: str

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        return "" if self == NEWEST else f"{self.time!r}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Return the cursor in `text`: ``TIME/ID``, ``TIME``, or "" for the first page.

        After the cursor ``TIME``, the page contains only rows older than TIME. Raises ValueError for any other text.
        """
        if not text:
            return NEWEST
        time, _slash, name = text.partition("/")
        if not math.isfinite(at := float(time)):
            raise ValueError(f"{time} is not a time")
        return cls(at, name)


NEWEST = Cursor(math.inf, "")
