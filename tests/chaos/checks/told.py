"""How a violation reads."""

from collections.abc import Sequence
from typing import Any

__all__ = ["some"]

_SHOWN = 3


def some(invariant: str, what: str, items: Sequence[Any]) -> list[str]:
    """Return one line about `items`, with the first of them; nothing where there are none."""
    if not items:
        return []
    shown = ", ".join(str(item).replace("\x1f", "/") for item in items[:_SHOWN])
    return [f"{invariant}: {len(items)} {what}: {shown}{' …' if len(items) > _SHOWN else ''}"]
