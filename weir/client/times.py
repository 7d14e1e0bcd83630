"""Times and durations as text: parse what users write, format what Weir prints."""

import contextlib
import re
from datetime import UTC, datetime, timedelta

from weir.errors import SettingsError

Since = timedelta | datetime | str | None

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"\A\s*(\d+(?:\.\d+)?)\s*([smhd])\s*\Z")
_PRINTED_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def parse_since(since: Since, now: datetime | None = None) -> datetime | None:
    """Return `since` as a time; a duration (``10m``, ``2h``, ``1d``, a timedelta) is subtracted from `now`.

    A text needs an offset, because every printed time is UTC. A datetime without a time zone is in the zone of this machine.

    Raises
    ------
    SettingsError
        `since` is neither a time nor a duration, is a text without an offset, or is out of the range of times.
    """
    now = now or datetime.now(UTC)
    found = since
    if isinstance(found, str):
        found = parse_duration(found) if _DURATION.match(found) else _parse_time(found)
    try:
        if isinstance(found, timedelta):
            return now - found
        return found.astimezone() if found is not None and found.tzinfo is None else found
    except AttributeError:
        raise SettingsError(f"{since!r} is neither a duration nor a time; write 30s, 10m, 2h or 1d") from None
    except (OverflowError, ValueError):
        raise SettingsError(f"{since} is before the year 1 or after the year 9999; write 30s, 10m, 2h or 1d") from None


def parse_duration(text: str) -> timedelta:
    """Parse `text` (``10m``, ``2h``) as a duration; raises SettingsError."""
    if match := _DURATION.match(text):
        with contextlib.suppress(OverflowError):
            return timedelta(**{_UNITS[match[2]]: float(match[1])})
    raise SettingsError(f"{text!r} is not a duration, or too long; write 30s, 10m, 2h or 1d")


def _parse_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{text!r} is neither a duration nor a time; write 30s, 10m, 2h, 1d, or 2026-01-31T12:00:00Z"
        ) from None
    if found.tzinfo is None:
        raise SettingsError(
            f"{text!r} has no offset from UTC; write 2026-01-31T12:00:00Z for UTC, or +01:00 in place of Z"
        )
    return found


def format_time(seconds: float) -> str:
    """Format a time (seconds since the epoch) as date and time in UTC, as in alert summaries and logs, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def format_duration(seconds: float) -> str:
    """Format a duration in the largest unit whose number is at least 2: ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for size, unit in _PRINTED_UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
