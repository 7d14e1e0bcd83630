"""Cases of this project's own, for detectors without labelled public data; written or generated here, from a seed.

They show what a detector does on what its authors thought of. How it does on real traffic they do not show.
"""

import msgspec

from detectors.base import Turn

__all__ = ["Case", "asked"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A text, what it answers, and whether it is what the detector looks for; `kind` says how it was made."""

    text: str
    positive: bool
    kind: str
    prompt: tuple[Turn, ...] = ()


def asked(question: str, system: str = "") -> tuple[Turn, ...]:
    """Return a prompt of a system message, where there is one, and a question."""
    first = (Turn(role="system", content=system),) if system else ()
    return (*first, Turn(role="user", content=question))
