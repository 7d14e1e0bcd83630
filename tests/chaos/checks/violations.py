"""The text of a violation."""

_SHOWN = 3


def violations(invariant, what, items):
    """Return one line about `items` with the first of them, or none."""
    if not items:
        return []
    shown = ", ".join(str(item).replace("\x1f", "/") for item in items[:_SHOWN])
    return [f"{invariant}: {len(items)} {what}: {shown}{' …' if len(items) > _SHOWN else ''}"]
