"""The callback with which evaluations and studies report their progress."""

from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar

ItemT = TypeVar("ItemT")


class Progress(Protocol):
    """A callback that receives the progress of long work."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report progress: ``done`` of ``total`` steps of the task ``what``; ``total`` is 0 if unknown."""


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore the progress."""
    del what, done, total


def tracked(progress: Progress, what: str, items: Iterable[ItemT], total: int = 0) -> Iterator[ItemT]:
    """Yield the items and report progress after each; ``total`` is only used if ``items`` has no length."""
    total = len(items) if isinstance(items, Sized) else total
    progress(what, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        progress(what, done, total)
