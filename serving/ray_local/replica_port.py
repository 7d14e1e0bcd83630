"""Keeps a Serve replica's own gRPC port on loopback.

Ray binds it on ``[::]`` after the deployment's ``__init__`` and offers no setting. The name that is wrapped is private, so
a test pins it (tests/contract/serving); without a token the port refuses in any case.
"""

from typing import Any

from serving.ray_local.errors import RayLocalError

__all__ = ["keep_replica_on_loopback"]

_NAME = "add_port_to_grpc_server"


def keep_replica_on_loopback() -> None:
    """Wrap the function that binds this replica's gRPC port; call it in the deployment's ``__init__``.

    Raises
    ------
    RayLocalError
        This Ray binds the port in another way; Weir does not listen beyond loopback, so the replica must not start.
    """
    from ray.serve._private import replica  # noqa: PLC0415 - only a replica needs Ray

    bind = getattr(replica, _NAME, None)
    if bind is None:
        raise RayLocalError(f"ray.serve._private.replica has no {_NAME}; use the Ray that requirements.lock names")
    if getattr(bind, "loopback", False):
        return

    def bind_on_loopback(server: Any, address: str) -> int:
        port: int = bind(server, address.replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1"))  # noqa: S104 - replaced
        return port

    bind_on_loopback.loopback = True  # type: ignore[attr-defined] # a mark, read above
    setattr(replica, _NAME, bind_on_loopback)
