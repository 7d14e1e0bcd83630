"""Test cases of this project, for detectors without labelled public data; written or generated here, from a seed.

They show how a detector does on what its authors thought of, not on real traffic.
"""

from detectors.base import Turn

__all__ = ["with_question"]


def with_question(question: str, system: str = "") -> tuple[Turn, ...]:
    """Return a prompt: a system message, if there is one, and a question."""
    first = (Turn(role="system", content=system),) if system else ()
    return (*first, Turn(role="user", content=question))
