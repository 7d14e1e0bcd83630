"""Test cases that this project wrote or generates from a seed, for detectors without public labelled data.

The metrics show how well a detector handles the cases that the authors of this project expected, not real traffic.
"""

from detectors.base import Turn


def with_question(question: str, system: str = "") -> tuple[Turn, ...]:
    """Return a prompt with a question, and with a system message if ``system`` is not empty."""
    first = (Turn(role="system", content=system),) if system else ()
    return (*first, Turn(role="user", content=question))
