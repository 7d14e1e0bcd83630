"""The command and the client of Weir.

``Client`` is imported on first use, because it imports aiokafka and the command should start fast.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weir.client import Client as Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from weir.client import Client  # noqa: PLC0415 - on first use

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
