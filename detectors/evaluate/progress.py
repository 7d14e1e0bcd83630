"""Progress of long work: evaluation, studies and training call one function."""

from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar

__all__ = ["Progress", "no_progress", "tracked"]

ItemT = TypeVar("ItemT")


class Progress(Protocol):
    """Called repeatedly while work runs."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps of ``what`` are done; ``total`` is 0 if it is unknown."""


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""
    del what, done, total


def tracked(progress: Progress, what: str, items: Iterable[ItemT], total: int = 0) -> Iterator[ItemT]:
    """Yield the items and report each one that is done; ``total`` is known if ``items`` has a length."""
    total = len(items) if isinstance(items, Sized) else total
    progress(what, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        progress(what, done, total)
