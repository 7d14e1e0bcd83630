"""Numbers and times as people read them in an alert's summary; the record's own fields hold them exactly."""

from stream.wire import format_time

__all__ = ["moment", "number"]


def number(value: float) -> str:
    """Return four significant digits, from 1,000 on a whole number.

    Examples
    --------
    >>> number(37226.14), number(1000.0), number(0.51234)
    ('37,226', '1,000', '0.5123')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def moment(seconds: float) -> str:
    """Return `seconds` since the epoch as RFC 3339, UTC, to the second.

    Examples
    --------
    >>> moment(1764114344.371114)
    '2025-11-25T23:45:44Z'
    """
    return format_time(float(int(seconds)))[: -len(".000000Z")] + "Z"
