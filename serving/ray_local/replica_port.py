"""Keep the gRPC port of a Serve replica on loopback.

Ray binds the port to ``[::]`` after the deployment's ``__init__`` and has no setting for it. So this module wraps a private function
of Ray; tests/contract/dependencies/test_ray.py checks the function's name.
"""

from typing import Any

from serving.errors import RayLocalError

_NAME = "add_port_to_grpc_server"


def keep_replica_on_loopback() -> None:
    """Wrap the function that binds this replica's gRPC port; call it in the deployment's ``__init__``.

    Raises RayLocalError if this Ray version binds the port in another way. Then the replica must not start, because it would listen on all
    interfaces.
    """
    from ray.serve._private import replica  # noqa: PLC0415 - only a replica needs Ray

    bind = getattr(replica, _NAME, None)
    if bind is None:
        raise RayLocalError(f"ray.serve._private.replica has no {_NAME}; install the Ray version of requirements.lock")
    if getattr(bind, "loopback", False):
        return

    def bind_on_loopback(server: Any, address: str) -> int:
        port: int = bind(server, address.replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1"))  # noqa: S104 - replaced
        return port

    bind_on_loopback.loopback = True  # type: ignore[attr-defined] # read above
    setattr(replica, _NAME, bind_on_loopback)
