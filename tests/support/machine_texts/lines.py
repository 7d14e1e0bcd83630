"""Random times, digits and lines."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

__all__ = ["digits", "hex_digits", "lines", "moment", "pick_lines"]

_BASE = datetime(2000, 1, 1, tzinfo=UTC)


def moment(random: Random) -> datetime:
    """Return a time between 2000 and 2030."""
    return _BASE + timedelta(seconds=random.randrange(30 * 365 * 86400))


def hex_digits(random: Random, length: int) -> str:
    """Return hexadecimal digits."""
    return f"{random.getrandbits(4 * length):0{length}x}"


def digits(random: Random, length: int) -> str:
    """Return decimal digits."""
    return "".join(random.choices("0123456789", k=length))


def lines(random: Random, line: Callable[[], str], low: int = 1, high: int = 8) -> str:
    """Return lines, each made anew."""
    return "\n".join(line() for _ in range(random.randint(low, high)))


def pick_lines(random: Random, *makers: Callable[[], str]) -> str:
    """Return lines that all have the layout of one maker."""
    return lines(random, random.choice(makers))
