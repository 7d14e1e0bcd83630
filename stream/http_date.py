"""Dates in HTTP headers."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_http_date(date: str) -> float | None:
    """Return an HTTP date (RFC 9110, section 5.6.7), UTC also without a zone, as seconds since the epoch; None if it is invalid."""
    try:
        time = parsedate_to_datetime(date)
        return time.replace(tzinfo=time.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):  # a number of any size can be in the place of the day
        return None
