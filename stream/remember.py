"""Collections of states that keep only their newest items."""

from typing import TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


def remember(items: dict[KeyT, ValueT], key: KeyT, value: ValueT, limit: int) -> None:
    """Store `value` as the newest item, and keep only the `limit` newest items."""
    items.pop(key, None)
    items[key] = value
    while len(items) > limit:
        del items[next(iter(items))]


def append(items: list[KeyT], item: KeyT, limit: int) -> None:
    """Append `item`, and keep only the last `limit` items."""
    items.append(item)
    del items[:-limit]
