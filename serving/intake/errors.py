"""What intake raises on purpose.

::

    ServingError
    └── IntakeError
        ├── Unreadable   a payload that has none of the shapes; the message names what it has and what it may have, never its text
        └── HeldFull     as many halves are held as may be; send it again
"""

from serving.errors import ServingError

__all__ = ["HeldFull", "IntakeError", "Unreadable"]


class IntakeError(ServingError):
    """Base of the errors of intake."""


class Unreadable(IntakeError):
    """A payload cannot be read; answer 4xx with the message."""


class HeldFull(IntakeError):
    """No more halves can be held; answer 503 with ``Retry-After``."""
