"""Event times: seconds since the epoch as float; in the header ``ce_time``, RFC 3339 with microseconds."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

#: The latest time of an event, 9999-01-01: later times that a stage computes from it can still be formatted.
LATEST = 253_370_764_800
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def format_time(seconds: float) -> str:
    """Return `seconds` since the epoch as RFC 3339, UTC, with microseconds."""
    return format_microseconds(round(seconds * 1e6))


def format_microseconds(time: int) -> str:
    """Return `time`, in microseconds since the epoch, as :func:`format_time`."""
    whole, microseconds = divmod(time, 1_000_000)
    return f"{_format_second(whole)}.{microseconds:06d}Z"


@lru_cache(maxsize=8)  # events of the same second follow one another
def _format_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()


def parse_time(text: str) -> float:
    """Return an RFC 3339 time with a zone as seconds since the epoch, from 0 to `LATEST`; raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone; RFC 3339 needs one")
    seconds = ((time - _EPOCH) // _MICROSECOND) / 1e6
    if not 0 <= seconds <= LATEST:
        raise ValueError(f"time {text!r} is not between 1970-01-01 and 9999-01-01")
    return seconds


def canonical_time(seconds: float) -> float:
    """Return `seconds` rounded to microseconds, the precision of ``ce_time``."""
    return round(seconds * 1e6) / 1e6
