"""How long work says how far it is: evaluation and training call one function, whoever shows it."""

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """Called now and again while work goes on."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` steps of ``what`` are done; ``total`` 0 where nobody knows how many."""


def silent(what: str, done: int, total: int) -> None:
    """Show nothing."""
    del what, done, total
