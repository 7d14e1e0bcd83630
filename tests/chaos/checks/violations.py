"""The text of a violation."""

_SHOWN = 3


def violations(invariant, what, items):
    """Return a list with one line about `items` that shows the first three, or an empty list."""
    if not items:
        return []
    shown = ", ".join(str(item).replace("\x1f", "/") for item in items[:_SHOWN])
    return [f"{invariant}: {len(items)} {what}: {shown}{' …' if len(items) > _SHOWN else ''}"]
