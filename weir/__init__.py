"""The command and the client of Weir; may import all, nothing imports it.

``from weir import Client`` imports the client, and with it aiokafka, when it is asked for: the command stays quick.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weir.client import Client as Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    if name == "Client":
        from weir.client import Client  # noqa: PLC0415 - imported when it is asked for

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
