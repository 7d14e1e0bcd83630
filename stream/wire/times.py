"""Event times: seconds since the epoch as float; in the header ``ce_time``, RFC 3339 with microseconds."""

from datetime import UTC, datetime, timedelta

__all__ = ["canonical_time", "format_time", "parse_time"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def format_time(seconds: float) -> str:
    """Return `seconds` since the epoch as RFC 3339, UTC, with microseconds."""
    time = _EPOCH + timedelta(microseconds=round(seconds * 1e6))
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> float:
    """Return an RFC 3339 time with a zone as seconds since the epoch; raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone; RFC 3339 needs one")
    return ((time - _EPOCH) // _MICROSECOND) / 1e6


def canonical_time(seconds: float) -> float:
    """Return `seconds` rounded to microseconds, the precision of ``ce_time``."""
    return round(seconds * 1e6) / 1e6
