"""Where a page of rows ends and the next one begins: by time, then by id, newest first.

Many rows share a time (a batch has one), so that a time alone would skip some of them at a page's edge, or show them twice.
"""

import math
from typing import NamedTuple

__all__ = ["NEWEST", "Cursor"]


class Cursor(NamedTuple):
    """The place of a row among all of them; what follows is less. Written as ``TIME/ID``, "" before the newest."""

    time: float
    id: str

    def __str__(self) -> str:
        """Return what :meth:`parse` reads."""
        return "" if self == NEWEST else f"{self.time!r}/{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Return the place that `text` names; a time alone is before every row of that time.

        Raises
        ------
        ValueError
            `text` is neither "" nor a time with or without an id.
        """
        if not text:
            return NEWEST
        time, _slash, name = text.partition("/")
        if not math.isfinite(at := float(time)):
            raise ValueError(f"{time} is no time")
        return cls(at, name)


NEWEST = Cursor(math.inf, "")
